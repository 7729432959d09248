// The same application in a Cloudflare Worker.

import { env } from "cloudflare:workers";
import { Verifier } from "offswitch";
import { makeApp } from "./app.js";
import { options } from "./options.js";

const { feed, ...issuer } = options(env);

// News arrives within a second for 25 s after each request. The next request after a longer pause is
// judged by a snapshot of at most 15 s, and fetches a newer one first if it has to.
export default makeApp(new Verifier({ ...issuer, feed: { ...feed, follow: "long-poll", maxStaleness: 15 } }));
