// Runs tasks in workerd. Its clock does not advance while code runs, so the client measures the time.

import * as offswitch from "../../verifier-wasm/js/loaders/workerd.js";
import { makeTasks } from "./tasks.mjs";

let material;
let tasks;

export default {
  async fetch(request) {
    const { pathname, searchParams } = new URL(request.url);
    if (pathname === "/material") material = await request.json();
    else if (request.method === "PUT") material[pathname.slice(1)] = new Uint8Array(await request.arrayBuffer());
    else if (pathname === "/run") {
      tasks ??= makeTasks(offswitch, material, {
        bytes: (token) => new TextEncoder().encode(token),
        text: (bytes) => decoder.decode(bytes),
      });
      const task = tasks[searchParams.get("task")];
      if (task === undefined) return new Response("no such task", { status: 404 });
      await task(Number(searchParams.get("count")));
    }
    return new Response("done");
  },
};

const decoder = new TextDecoder();
