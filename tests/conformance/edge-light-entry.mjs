import * as offswitch from "offswitch";
import { runSuite } from "./suite.mjs";

addEventListener("fetch", (event) => event.respondWith(answer(event.request)));

async function answer(request) {
  return Response.json(await runSuite(offswitch, await request.json()));
}
