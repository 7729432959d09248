// cold-start.mjs as a server of Node, Deno or Bun.

import { createServer } from "node:http";
import { createVerifier } from "offswitch";
import { readInput } from "../support/runtimes.mjs";
import { coldStart } from "./cold-start.mjs";

const answer = coldStart(createVerifier, await readInput());
const server = createServer(async (request, response) => {
  response.end(JSON.stringify(await answer(`http://server.test${request.url}`)));
});
server.listen(0, "127.0.0.1", () => console.log(JSON.stringify(server.address().port)));
