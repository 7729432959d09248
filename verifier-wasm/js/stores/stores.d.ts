import type { Store } from "offswitch";

/** A place for a few named byte strings. Its answers are checked, so it only has to be trusted not to lose the
 * floor. */
export interface Place {
  read(name: string): Promise<Uint8Array | undefined>;
  write(name: string, bytes: Uint8Array): Promise<void>;
}

/** Makes a store of any such place. */
export function keep(place: Place): Store & Place;

/** The Cache API of browsers and Workers. */
export function cacheStore(name?: string): Store & Place;

/** A Workers KV namespace. */
export function kvStore(
  namespace: {
    get(key: string, type: "arrayBuffer"): Promise<ArrayBuffer | null>;
    put(key: string, value: ArrayBufferView): Promise<void>;
  },
  prefix?: string,
): Store & Place;
