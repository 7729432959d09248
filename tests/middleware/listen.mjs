// A Node server on a free port, and a function that sends it requests.

/**
 * @param {import("node:http").Server} server
 * @returns {Promise<(path: string, init?: RequestInit) => Promise<Response>>}
 */
export async function listen(server) {
  if (!server.listening) await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  const origin = `http://127.0.0.1:${server.address().port}`;
  return (path, init) => fetch(origin + path, { signal: AbortSignal.timeout(60_000), ...init });
}

export function stop(server) {
  server.closeAllConnections();
  server.close();
}
