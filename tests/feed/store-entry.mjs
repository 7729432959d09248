// A worker that stores floor and snapshots in KV or in the cache, and follows the test's orders.

import { Verifier } from "../../verifier-wasm/js/loaders/workerd.js";
import { cacheStore, kvStore } from "../../verifier-wasm/js/stores/stores.js";

let ahead = 0;
let verifier;

export default {
  async fetch(request, env) {
    const { delay = 0, options, place, seconds, token } = await request.json();
    ahead += seconds ?? 0;
    if (options) {
      verifier?.close();
      const store = place === "kv" ? kvStore(slowed(env.PLACE, delay)) : cacheStore("feed");
      const clock = () => Date.now() / 1000 + ahead;
      verifier = new Verifier({ ...options, clock, feed: { ...options.feed, store } });
    }
    const result = await verifier.refresh();
    const { code } = verifier.verifySync(token);
    return Response.json({ result, code, position: verifier.status().position });
  },
};

/** A namespace whose reads are slow. */
function slowed(namespace, milliseconds) {
  return {
    async get(name, type) {
      await new Promise((resume) => setTimeout(resume, milliseconds));
      return namespace.get(name, type);
    },
    put: (name, bytes) => namespace.put(name, bytes),
  };
}
