import { after } from "node:test";
import { startWorkerd } from "../support/workerd.mjs";
import { expectConformance } from "./expect.mjs";

const workerd = await startWorkerd("tests/conformance/workerd-entry.mjs");
after(workerd.close);

expectConformance("workerd", async (data) => {
  const response = await fetch(workerd.url, { method: "POST", body: JSON.stringify(data) });
  if (!response.ok) throw new Error(await response.text());
  return response.json();
});
