// Fetches from other origins, in a frame. The policy of this document, which has the token, allows
// requests to its own origin only.

export interface OutsideRequest {
  id: number;
  url: string;
  headers: Record<string, string>;
}

export type OutsideAnswer =
  | { id: number; status: number; bytes: ArrayBuffer }
  | { id: number; problem: string };

/** Fetches `url` from any origin. Rejects with a message if there is no response. */
export async function fetchOutside(
  url: string,
  headers: Record<string, string> = {},
): Promise<{ status: number; bytes: Uint8Array }> {
  const frame = await (opening ??= open());
  const id = (last += 1);
  const answer = await new Promise<OutsideAnswer>((resolve) => {
    waiting.set(id, resolve);
    frame.postMessage({ id, url, headers } satisfies OutsideRequest, location.origin);
  });
  if ("problem" in answer) throw new Error(`${url} cannot be fetched: ${answer.problem}`);
  return { status: answer.status, bytes: new Uint8Array(answer.bytes) };
}

function open(): Promise<Window> {
  const frame = document.createElement("iframe");
  frame.src = "outside.html";
  frame.hidden = true;
  frame.title = "Requests to other origins";
  return new Promise((resolve) => {
    addEventListener("message", ({ data, source }) => {
      if (source === null || source !== frame.contentWindow) return;
      if (data === "ready") return resolve(frame.contentWindow);
      waiting.get(data.id)?.(data);
      waiting.delete(data.id);
    });
    document.body.append(frame);
  });
}

let opening: Promise<Window> | undefined;
let last = 0;
const waiting = new Map<number, (answer: OutsideAnswer) => void>();
export const MAX_OUTSIDE_BYTES = 64 * 1024 * 1024;
