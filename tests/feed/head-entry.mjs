// A worker whose verifier reads the head of its feed from KV or R2, and follows the test's orders; under /guarded it
// follows the feed only by the requests that it serves.

import { Verifier } from "../../verifier-wasm/js/loaders/workerd.js";
import { guard } from "../../verifier-wasm/js/middleware/guard.js";

let verifier;
let ahead = 0;

export default {
  async fetch(request, env, context) {
    if (new URL(request.url).pathname === "/guarded") {
      return guard(verifier, () => new Response("in"))(request, env, context);
    }
    const { options, place, delay = 0, prefix, seconds = 0, token } = await request.json();
    ahead += seconds;
    if (options) {
      verifier?.close();
      const binding = delay === 0 ? env[place] : slowed(env[place], delay);
      const head = prefix === undefined ? binding : { binding, prefix };
      const clock = () => Date.now() / 1000 + ahead;
      verifier = new Verifier({ ...options, clock, feed: { ...options.feed, head } });
    }
    const result = await verifier.refresh();
    const { feed, position } = verifier.status();
    return Response.json({ result, code: verifier.verifySync(token).code, position, failures: feed.failures });
  },
};

/** A binding whose reads are slow. */
const slowed = (binding, milliseconds) => ({
  async get(name, options) {
    await new Promise((resume) => setTimeout(resume, milliseconds));
    return binding.get(name, options);
  },
});
