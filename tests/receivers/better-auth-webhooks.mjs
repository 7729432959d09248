// A plugin of better-auth that posts `session.deleted` when a session ends: a logout, a revocation, a deleted user.
// Signed as Standard Webhooks says. The logout is answered once the receiver has answered.

import { randomUUID } from "node:crypto";
import { Webhook } from "standardwebhooks";

/** @param {{ url: string, secret: string }} to the receiver, and the secret that it knows (`whsec_…`) */
export function webhooks({ url, secret }) {
  const webhook = new Webhook(secret);
  const send = async (id, body) => {
    const date = new Date();
    const headers = {
      "content-type": "application/json",
      "webhook-id": id,
      "webhook-timestamp": String(Math.floor(date / 1000)),
      "webhook-signature": webhook.sign(id, date, body),
    };
    const answer = await fetch(url, { method: "POST", headers, body, signal: AbortSignal.timeout(5000) });
    if (!answer.ok) throw new Error(`the receiver answers ${answer.status}`);
  };
  /** The same id each time: what was received already has no second effect. */
  const deliver = async (session, tries = 3) => {
    const id = `msg_${randomUUID()}`;
    const body = JSON.stringify({ type: "session.deleted", data: { id: session.id, userId: session.userId } });
    for (let left = tries; ; left -= 1) {
      try {
        return await send(id, body);
      } catch (error) {
        if (left === 1) throw error;
        await new Promise((resume) => setTimeout(resume, 200));
      }
    }
  };
  return {
    id: "webhooks",
    init: () => ({ options: { databaseHooks: { session: { delete: { after: (session) => deliver(session) } } } } }),
  };
}
