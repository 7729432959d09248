// How long a token still gets through a gateway after the control plane has answered its revocation.

import { Agent, get } from "node:https";
import { startSystem } from "../gateways/system.mjs";

/** Revokes tokens one after the other; returns how long each stayed valid, nanoseconds. */
export async function measureRevocations(gateway, count) {
  const system = await startSystem(gateway);
  const agent = new Agent({ keepAlive: true, maxSockets: 1, rejectUnauthorized: false });
  const status = (token) => new Promise((resume, fail) => {
    get({ host: "127.0.0.1", port: system.port, path: "/orders/1", agent, headers: { authorization: `Bearer ${token}` } }, (response) => {
      response.resume().on("end", () => resume(response.statusCode)).on("error", fail);
    }).on("error", fail);
  });
  const times = [];
  try {
    system.upstream.isLoaded = true;
    for (let round = 0; round < count; round += 1) {
      const token = await system.token(`user-${round}`);
      if (await status(token) !== 200) throw new Error("a fresh token is refused");
      await system.revoke({ token });
      const began = performance.now();
      while (await status(token) === 200) {
        if (performance.now() - began > 10_000) throw new Error("the token is never refused");
        await new Promise((resume) => setTimeout(resume, 1));
      }
      times.push((performance.now() - began) * 1e6);
    }
  } finally {
    agent.destroy();
    await system.close();
  }
  return times;
}
