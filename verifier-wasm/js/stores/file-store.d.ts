import type { Store } from "offswitch";
import type { Place } from "offswitch/stores";

/** A folder, for Node, Deno and Bun. */
export function fileStore(folder: string): Store & Place;
