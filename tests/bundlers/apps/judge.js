// The use of the verifier in every app: it judges each token in both ways.

export async function judge(verifier, tokens) {
  const codes = {};
  for (const [name, token] of Object.entries(tokens)) {
    codes[name] = [verifier.verifySync(token).code, (await verifier.verify(token)).code];
  }
  verifier.close();
  return codes;
}
