// From nothing to the first verdict, in workerd: the request itself imports the package.

export default {
  async fetch(request) {
    if (request.method !== "POST") return new Response("ready");
    const { jwk, token, publicKey } = await request.json();
    const { Verifier } = await import("../../verifier-wasm/js/loaders/workerd.js");
    const verifier = new Verifier({
      issuer: "https://issuer.test", audience: "unchecked", types: ["JWT"], keys: { keys: [jwk] },
      feed: { url: "http://feed.invalid", id: "feed", publicKeys: [publicKey] },
    });
    return Response.json(await verifier.verify(token));
  },
};
