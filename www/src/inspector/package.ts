// The package with the verifier. It is loaded for the first verification, so that decoding is shown before.

/** Rejects where it cannot be loaded; the next call tries again. */
export async function loadPackage() {
  const offswitch = await import("offswitch");
  loading ??= offswitch.load().catch((error) => {
    loading = undefined;
    throw error;
  });
  await loading;
  return offswitch;
}

let loading: Promise<void> | undefined;
