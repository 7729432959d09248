// cold-start.mjs in a Worker.

import { createVerifier } from "../../verifier-wasm/js/loaders/workerd.js";
import { coldStart } from "./cold-start.mjs";

let answer;

export default {
  async fetch(request, env, context) {
    answer ??= coldStart(createVerifier, JSON.parse(env.GIVEN));
    return Response.json(await answer(request.url, (work) => context.waitUntil(work)));
  },
};
