import { serve } from "@hono/node-server";
import { createVerifier } from "offswitch";
import { makeApp } from "./app.js";
import { options } from "./options.js";

const { fetch } = makeApp(await createVerifier(options(process.env)));
serve({ fetch, hostname: "127.0.0.1", port: Number(process.env.PORT) });
