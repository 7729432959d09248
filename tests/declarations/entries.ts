// Compiled by `npm run types`, never run: the package's other entry points, with the types of the
// frameworks that they are for.

import { Hono } from "hono";
import Fastify from "fastify";
import { createVerifier, type FeedOptions, type RoutePolicy, type Store } from "offswitch";
import { offswitch as express } from "offswitch/express";
import { offswitch as fastify } from "offswitch/fastify";
import { combine } from "offswitch/feeds";
import { fileStore } from "offswitch/file-store";
import { guard } from "offswitch/guard";
import { offswitch as hono } from "offswitch/hono";
import * as inline from "offswitch/inline";
import { cacheStore, keep, kvStore } from "offswitch/stores";
import wasm from "offswitch/wasm";
import worker from "offswitch/worker";

const feed: FeedOptions = { url: "https://issuer/v1/feed", publicKeys: ["key"] };
const one = { issuer: "https://issuer", audience: "api", keys: "https://issuer/jwks", feed };
const verifier = await createVerifier({ ...one, wasm });
await inline.createVerifier({ ...one, feed: { ...feed, store: fileStore("/var/lib/app") } });

// A route's policy.
const policy: RoutePolicy = { scopes: ["read"], maxStaleness: 5, onStale: "deny" };
policy.onUndecided = ({ code, detail }) => `${code satisfies string} ${detail.length}`;
// @ts-expect-error scopes is a list
policy.scopes = "read";
// @ts-expect-error an undecided verdict has no claims
policy.onUndecided = ({ claims }) => claims.sub;
// @ts-expect-error the member is scopes
hono(verifier, { scope: ["read"] });
// @ts-expect-error createVerifier must be awaited
express(createVerifier(one));

// Fetch-style handlers.
const handle = guard(verifier, (request, { claims }) => new Response(claims.sub), policy);
const response: Response = await handle(new Request("https://api/"));
// In a Worker: createVerifier gets work that outlives the request once.
const inWorker = guard<[{ ISSUER: string }, { waitUntil(work: Promise<unknown>): void }]>(
  (request, env) => createVerifier({ ...one, issuer: env.ISSUER }),
  (request, verdict, env, context) => {
    context.waitUntil(Promise.resolve(env.ISSUER));
    return Response.json(verdict.claims.exp + 1);
  },
);
inWorker(new Request("https://api/"), { ISSUER: "i" }, { waitUntil() {} });
// @ts-expect-error the handler's other arguments must be passed
inWorker(new Request("https://api/"));
// @ts-expect-error a handler must return a response
guard(verifier, () => "text");
await worker.fetch(new Request("https://api/"), {}, { waitUntil() {} });

// Hono: the verdict has its name, in every way of making routes.
const app = new Hono();
app.use("/api/*", hono(verifier, policy));
app.get("/api/users", (c) => c.text(c.get("offswitch").claims.sub ?? c.var.offswitch.code));
app.get("/api/keys", hono((c) => c.env.VERIFIER), (c) => c.json(c.get("offswitch").claims));
// @ts-expect-error the variable has another name
app.get("/api/none", (c) => c.text(c.get("verdict")));

// Fastify and Express: the verdict can be undecided only if a route allows that.
const server = Fastify();
server.addHook("onRequest", fastify(verifier));
server.get("/", { preHandler: fastify(verifier, policy) }, async ({ offswitch }) =>
  offswitch?.outcome === "valid" ? offswitch.claims.sub : offswitch?.detail);
server.get("/sub", async ({ offswitch }) => offswitch?.claims?.sub);
// @ts-expect-error not every request has a verdict
server.get("/claims", async (request) => request.offswitch.claims);
declare const request: Express.Request;
if (request.offswitch?.outcome === "valid") request.offswitch.claims.sub?.length;
// @ts-expect-error Express passes no settings to a function
express(() => verifier);

// Several feeds.
const both = combine([verifier, await createVerifier(one)]);
hono(both, policy);
const ages: Array<number | null> = both.status().feeds.map(({ ageSeconds }) => ageSeconds);
both.since() satisfies undefined;
ages.push(both.status().ageSeconds);
// @ts-expect-error createVerifier must be awaited
combine([createVerifier(one)]);

// Stores.
const store: Store = cacheStore("name");
kvStore({ get: async () => null, put: async () => {} }, "prefix:") satisfies Store;
keep({ read: async () => undefined, write: async () => {} }) satisfies Store;
await cacheStore().write("name", new Uint8Array());
// @ts-expect-error a store stores bytes
await cacheStore().write("name", "text");
// @ts-expect-error a place must also be readable
keep({ write: async () => {} });
// @ts-expect-error a place alone is not a store
feed.store = { read: async () => undefined, write: async () => {} };
// @ts-expect-error a folder must be named
fileStore();
