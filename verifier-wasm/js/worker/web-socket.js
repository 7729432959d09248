// A WebSocket through the worker: both ends are accepted here and every message is passed on, so that both can
// be closed with a code for the reason.

/**
 * The answer that opens the socket to the client; `response` is the upstream's. Either side's close is passed
 * to the other. A token that is no longer valid closes both: 4401 if it is refused, 4503 if it is undecided.
 *
 * @param {Response} response @param {import("./watch.js").Watch} watch
 */
export function relayWebSocket(response, watch) {
  const upstream = /** @type {any} */ (response).webSocket;
  const { 0: client, 1: server } = new /** @type {any} */ (globalThis).WebSocketPair();
  watch.signal.addEventListener("abort", () => {
    const { code, outcome } = watch.signal.reason;
    const status = outcome === "refused" ? REFUSED : UNDECIDED;
    for (const socket of [server, upstream]) close(socket, status, code);
  });
  const stop = () => watch.stop();
  join(upstream, server, stop);
  join(server, upstream, stop);
  const { headers, status } = response;
  return new Response(null, /** @type {any} */ ({ headers, status, webSocket: client }));
}

/** Passes the messages of `from` to `to`. @param {any} from @param {any} to @param {() => void} ended */
function join(from, to, ended) {
  from.binaryType = "arraybuffer";
  from.addEventListener("message", (/** @type {any} */ { data }) => {
    try {
      to.send(data);
    } catch {
      close(from, GONE, "the other side is gone");
    }
  });
  from.addEventListener("close", (/** @type {any} */ { code, reason }) => {
    ended();
    for (const socket of [to, from]) close(socket, code, reason);
  });
  from.addEventListener("error", () => {
    ended();
    for (const socket of [to, from]) close(socket, GONE, "the other side failed");
  });
  from.accept();
}

/**
 * Closes a socket that may already be closed.
 *
 * @param {any} socket @param {number} code @param {string} reason
 */
function close(socket, code, reason) {
  try {
    // Codes that only say how a connection was lost are never sent (RFC 6455 section 7.4.1).
    if ([1004, 1005, 1006, 1015].includes(code)) socket.close();
    else socket.close(code, reason);
  } catch {
    // It is already closed.
  }
}

const REFUSED = 4401;
const UNDECIDED = 4503;
const GONE = 1011;
