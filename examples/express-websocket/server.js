import { createServer } from "node:http";
import express from "express";
import { createVerifier } from "offswitch";
import { offswitch } from "offswitch/express";
import { WebSocketServer } from "ws";
import { options } from "./options.js";

const verifier = await createVerifier(options(process.env));
const app = express();
app.use("/api", offswitch(verifier, { scopes: ["read"] }));
app.get("/api/me", (request, response) => {
  response.json({ sub: request.offswitch.claims.sub });
});

const server = createServer(app);
const sockets = new WebSocketServer({ server, path: "/socket" });
sockets.on("connection", async (socket, request) => {
  const token = new URL(request.url, "http://any").searchParams.get("token");
  const { claims, code } = await verifier.verify(token);
  if (claims === undefined) return socket.close(4401, code);
  const stop = verifier.onRevoked(token, (verdict) => socket.close(4401, verdict.code));
  socket.on("close", stop);
  socket.send(claims.sub);
});
server.listen(Number(process.env.PORT), "127.0.0.1");
