// oidc-provider over Redis, as a peer in the benchmark: prints as JSON its port, one refresh token
// for each chain and an opaque access token, then serves until stdin closes.
//
// Its settings make it do what Offswitch does for a refresh and no more: rotation, an access token
// signed with EdDSA that is not stored, no ID token, no client secret, no session look-up.

import { Redis } from "ioredis";
import { exportJWK, generateKeyPair } from "jose";
import Provider from "oidc-provider";

const chains = Number(process.argv[2] ?? 64);
const CLIENT = "bench";
const RESOURCE = "https://api.bench.invalid";
const SCOPE = "read";

// Auto-pipelining puts the commands of one turn of the event loop into one write.
const redis = new Redis(process.env.REDIS_URL ?? "redis://127.0.0.1:6379", {
  keyPrefix: "oidc:", enableAutoPipelining: true,
});

// Documents of a grant are deleted with it, and a single-use document records that it was used.
const ofGrant = new Set(["AccessToken", "AuthorizationCode", "RefreshToken"]);
const once = new Set(["AuthorizationCode", "RefreshToken"]);

/** The calls of oidc-provider's own example of a Redis adapter, for the models that are used here. */
class RedisAdapter {
  constructor(model) {
    this.model = model;
    this.once = once.has(model);
  }

  async upsert(id, payload, ttl) {
    const key = this.key(id);
    const transaction = redis.multi();
    const text = JSON.stringify(payload);
    if (this.once) transaction.hset(key, { payload: text });
    else transaction.set(key, text);
    if (ttl) transaction.expire(key, ttl);
    if (ofGrant.has(this.model) && payload.grantId) {
      const list = `grant:${payload.grantId}`;
      transaction.rpush(list, key);
      if (ttl > (await redis.ttl(list))) transaction.expire(list, ttl);
    }
    const results = await transaction.exec();
    for (const [error] of results) if (error) throw error;
  }

  async find(id) {
    if (!this.once) {
      const text = await redis.get(this.key(id));
      return text === null ? undefined : JSON.parse(text);
    }
    const { payload, ...rest } = await redis.hgetall(this.key(id));
    return payload === undefined ? undefined : { ...rest, ...JSON.parse(payload) };
  }

  async consume(id) {
    await redis.hset(this.key(id), "consumed", Math.floor(Date.now() / 1000));
  }

  async destroy(id) {
    await redis.del(this.key(id));
  }

  async revokeByGrantId(grantId) {
    const list = `grant:${grantId}`;
    const transaction = redis.multi();
    for (const key of await redis.lrange(list, 0, -1)) transaction.del(key);
    await transaction.del(list).exec();
  }

  key(id) {
    return `${this.model}:${id}`;
  }
}

const { privateKey } = await generateKeyPair("EdDSA", { extractable: true });
const provider = new Provider("http://127.0.0.1", {
  adapter: RedisAdapter,
  clients: [{
    client_id: CLIENT,
    token_endpoint_auth_method: "none",
    grant_types: ["authorization_code", "refresh_token"],
    redirect_uris: ["https://client.bench.invalid/"],
  }],
  cookies: { keys: ["bench"] },
  enabledJWA: { idTokenSigningAlgValues: ["EdDSA"] },
  clientDefaults: { id_token_signed_response_alg: "EdDSA" },
  features: {
    devInteractions: { enabled: false },
    introspection: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => RESOURCE,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        scope: SCOPE,
        audience: "api",
        accessTokenFormat: "jwt",
        accessTokenTTL: 600,
        jwt: { sign: { alg: "EdDSA" } },
      }),
    },
  },
  findAccount: (_context, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
  jwks: { keys: [{ ...(await exportJWK(privateKey)), alg: "EdDSA", use: "sig", kid: "bench" }] },
  rotateRefreshToken: true,
  ttl: { AccessToken: 600, Grant: 604_800, RefreshToken: 604_800 },
});
provider.on("server_error", (_context, error) => console.error(error));

const client = await provider.Client.find(CLIENT);
const refreshTokens = [];
for (let chain = 0; chain < chains; chain += 1) {
  const accountId = `user-${chain}`;
  const grant = new provider.Grant({ accountId, clientId: CLIENT });
  grant.addResourceScope(RESOURCE, SCOPE);
  const grantId = await grant.save();
  const token = new provider.RefreshToken({
    accountId, client, grantId, gty: "authorization_code", resource: RESOURCE, scope: SCOPE,
  });
  refreshTokens.push(await token.save());
}
const accessToken = new provider.AccessToken({
  accountId: "somebody", client, gty: "authorization_code", scope: "openid",
});
const accessTokenText = await accessToken.save();
const server = provider.listen(0, "127.0.0.1", () => {
  const { port } = server.address();
  console.log(JSON.stringify({
    port, client_id: CLIENT, refresh_tokens: refreshTokens, access_token: accessTokenText,
  }));
});
process.stdin.resume().on("end", () => process.exit(0));
