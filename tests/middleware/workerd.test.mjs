// Workers in real workerd: guard alone, and Hono.

import { startWorkerd } from "../support/workerd.mjs";
import { askAll } from "./ask.mjs";
import { expectAnswers } from "./expect.mjs";

const run = (entry) => async (given) => {
  const bindings = { GIVEN: JSON.stringify(given) };
  const workerd = await startWorkerd(`tests/middleware/${entry}`, bindings);
  try {
    return await askAll((path, init) => fetch(workerd.url + path, init), given);
  } finally {
    await workerd.close();
  }
};
expectAnswers("workerd", run("workerd-entry.mjs"));
expectAnswers("Hono in workerd", run("hono-workerd-entry.mjs"));
