// A Worker that guards one route, and judges its input on another.

import { Verifier } from "offswitch";
import { guard } from "offswitch/guard";
import { judge } from "./judge.js";

let verifier;
const guarded = guard(
  (request, env) => (verifier ??= new Verifier(JSON.parse(env.OPTIONS))),
  (request, verdict) => Response.json(verdict.claims.sub),
);

export default {
  async fetch(request, env, context) {
    if (request.method !== "POST") return guarded(request, env, context);
    const { options, tokens } = await request.json();
    const own = new Verifier(options);
    await own.refresh();
    return Response.json(await judge(own, tokens));
  },
};
