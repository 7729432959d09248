// Express, and a WebSocket that is closed when its token is revoked or expires.

import { createServer } from "node:http";
import express from "express";
import { createVerifier } from "offswitch";
import { offswitch } from "offswitch/express";
import { WebSocketServer } from "ws";

const setting = (name) => {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set; README.md says where it comes from`);
  return value;
};
const issuer = setting("OFFSWITCH_ISSUER");

// Also succeeds while the control plane cannot be reached: requests get 503 until it can.
const verifier = await createVerifier({
  issuer,
  audience: "api",
  keys: `${issuer}/.well-known/jwks.json`,
  feed: {
    url: `${issuer}/v1/feed`,
    publicKeys: setting("OFFSWITCH_FEED_PUBLIC_KEYS").split(","),
    apiKey: setting("OFFSWITCH_FEED_API_KEY"),
  },
});

const app = express();
app.get("/readyz", (request, response) => {
  const { ready, following, ageSeconds, watched } = verifier.status();
  response.status(ready ? 200 : 503).json({ ready, following, ageSeconds, watched });
});
app.use("/api", offswitch(verifier)); // answers 401 or 503 in place of the routes
app.get("/api/me", (request, response) => {
  response.json({ sub: request.offswitch.claims.sub });
});

// A page cannot set headers of a WebSocket, and servers log addresses: the token is a subprotocol.
// new WebSocket(url, ["offswitch", token])
const PROTOCOL = "offswitch";
const server = createServer(app);
const sockets = new WebSocketServer({
  noServer: true,
  path: "/socket",
  maxPayload: 65_536,
  handleProtocols: (offered) => offered.has(PROTOCOL) && PROTOCOL,
});

server.on("upgrade", async (request, connection, head) => {
  connection.on("error", () => connection.destroy());
  const offered = request.headers["sec-websocket-protocol"]?.split(",").map((one) => one.trim());
  const token = offered?.find((one) => one !== PROTOCOL);
  const verdict = await verifier.verify(token);
  // The handshake is finished in any case: only then can a page read why it was refused.
  sockets.handleUpgrade(request, connection, head, (socket) => connected(socket, token, verdict));
});

function connected(socket, token, verdict) {
  socket.on("error", (error) => console.error(`socket: ${error.message}`));
  if (verdict.outcome !== "valid") return close(socket, verdict);
  const stop = verifier.onRevoked(token, (refused) => close(socket, refused), {
    onUndecided: (undecided) => close(socket, undecided),
  });
  socket.on("close", stop);
  socket.on("message", (data) => {
    // A client may go on sending until it has answered the closing handshake.
    if (socket.readyState === socket.OPEN) socket.send(`${verdict.claims.sub}: ${data}`);
  });
  socket.send(`hello ${verdict.claims.sub}`);
}

/** 4401: get a new token; 1013: try again later with the same one. */
function close(socket, { outcome, code }) {
  socket.close(outcome === "refused" ? 4401 : 1013, code);
}

const { HOST = "127.0.0.1", PORT = "3000" } = process.env;
server.listen(Number(PORT), HOST);
process.once("SIGTERM", () => {
  for (const socket of sockets.clients) socket.close(1001);
  server.close(() => verifier.close());
});
