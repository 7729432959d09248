import * as offswitch from "../../verifier-wasm/js/loaders/workerd.js";
import { runSuite } from "./suite.mjs";

export default {
  async fetch(request) {
    return Response.json(await runSuite(offswitch, await request.json()));
  },
};
