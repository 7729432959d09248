// Fetches from other origins for the page that embeds this document. It gets addresses and headers, and
// never a token.

import { MAX_OUTSIDE_BYTES, type OutsideAnswer, type OutsideRequest } from "./outside";

addEventListener("message", async ({ data, origin, source }: MessageEvent<OutsideRequest>) => {
  if (origin !== location.origin || source !== parent) return;
  const answer = await ask(data);
  parent.postMessage(answer, location.origin, "bytes" in answer ? [answer.bytes] : []);
});
parent.postMessage("ready", location.origin);

async function ask({ id, url, headers }: OutsideRequest): Promise<OutsideAnswer> {
  try {
    const response = await fetch(url, {
      headers,
      cache: "no-store",
      credentials: "omit",
      // An API key goes to the address that was entered, and nowhere else.
      redirect: "authorization" in headers ? "error" : "follow",
      referrerPolicy: "no-referrer",
      signal: AbortSignal.timeout(15_000),
    });
    const bytes = await response.arrayBuffer();
    if (bytes.byteLength > MAX_OUTSIDE_BYTES) throw new Error("the answer is too large");
    return { id, status: response.status, bytes };
  } catch (error) {
    return { id, problem: error instanceof Error ? error.message : String(error) };
  }
}
