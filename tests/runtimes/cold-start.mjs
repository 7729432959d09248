// Verifiers that start without their control plane, used over HTTP. It does not depend on the runtime.

/** Seconds by which requests move the clock ahead; only ever forwards. */
let ahead = 0;

/**
 * @param {any} createVerifier
 * @param {{ now: number, verifiers: Record<string, object> }} given options by name
 * @returns a function that answers a request by its URL
 */
export function coldStart(createVerifier, { now, verifiers }) {
  const began = Date.now();
  const clock = () => now + ahead + (Date.now() - began) / 1000;
  /** Values are shared between requests, never promises. @type {Record<string, any>} */
  const made = {};
  return async (/** @type {string} */ url, /** @type {any} */ waitUntil) => {
    const asked = new URL(url).searchParams;
    const name = asked.get("verifier");
    ahead = Math.max(ahead, Number(asked.get("ahead")));
    made[name] ??= await createVerifier({ ...verifiers[name], clock });
    const { outcome, code } = await made[name].verify(asked.get("token"));
    if (waitUntil) made[name].followLater(waitUntil);
    return { verdict: `${outcome} ${code}`, isReady: made[name].isReady };
  };
}
