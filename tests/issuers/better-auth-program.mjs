// better-auth (npm) with its plugins jwt and bearer as an identity provider, its data in memory: prints a line
// when it is ready, exits when stdin closes. A line on stdin expires its signing key, like the plugin's
// rotationInterval. The first argument is the port, the second the algorithm.
// With WEBHOOK_URL and WEBHOOK_SECRET in the environment it posts each session that ends.

import { createServer } from "node:http";
import { betterAuth } from "better-auth";
import { memoryAdapter } from "better-auth/adapters/memory";
import { toNodeHandler } from "better-auth/node";
import { bearer, jwt } from "better-auth/plugins";
import { webhooks } from "../receivers/better-auth-webhooks.mjs";

const [port, alg] = process.argv.slice(2);
const { WEBHOOK_URL: url, WEBHOOK_SECRET: secret } = process.env;
const database = { account: [], jwks: [], session: [], user: [], verification: [] };
const auth = betterAuth({
  baseURL: `http://127.0.0.1:${port}`,
  database: memoryAdapter(database),
  emailAndPassword: { enabled: true },
  logger: { level: "error" },
  plugins: [
    ...(url && secret ? [webhooks({ url, secret })] : []),
    bearer(),
    jwt({
      jwks: { keyPairConfig: { alg } },
      jwt: {
        audience: "api",
        expirationTime: "10m",
        definePayload: ({ session, user }) => ({
          client: session.userAgent, email: user.email, session: { id: session.id },
        }),
      },
    }),
  ],
  rateLimit: { enabled: false },
  secret: "a secret of the tests that is long enough",
  telemetry: { enabled: false },
});
createServer(toNodeHandler(auth)).listen(Number(port), "127.0.0.1", () => console.log("serves"));
process.stdin.setEncoding("utf8").on("end", () => process.exit(0)).on("data", () => {
  for (const key of database.jwks) key.expiresAt = new Date();
});
