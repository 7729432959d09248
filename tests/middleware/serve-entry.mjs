// Deno.serve and Bun.serve: runs in one of them, serves the routes and asks by HTTP.

import { createVerifier } from "offswitch";
import { guard } from "offswitch/guard";
import { readInput } from "../support/runtimes.mjs";
import { askAll } from "./ask.mjs";
import { errorResponse, guardedRoutes } from "./fetch-routes.mjs";
import { makeVerifiers } from "./routes.mjs";

const given = await readInput();
const verifiers = await makeVerifiers(createVerifier, given);
const handle = guardedRoutes(guard, (name) => verifiers[name]);
const port = serve();
const answers = await askAll((path, init) => fetch(`http://127.0.0.1:${port}${path}`, init), given);
console.log(JSON.stringify(answers));
process.exit(0);

function serve() {
  const { Bun, Deno } = globalThis;
  const where = { hostname: "127.0.0.1", port: 0 };
  if (Bun) return Bun.serve({ ...where, fetch: handle, error: errorResponse }).port;
  return Deno.serve({ ...where, onError: errorResponse, onListen() {} }, handle).addr.port;
}
