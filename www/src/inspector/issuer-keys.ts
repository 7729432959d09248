// Finds the keys of an issuer: by its metadata (RFC 8414, OpenID Connect Discovery), else where
// most publish them.

import { parseJwks } from "./keys";

/** As `fetchOutside`; throws with a message where nobody answers. */
export type FetchElsewhere = (
  url: string,
  headers?: Record<string, string>,
) => Promise<{ status: number; bytes: Uint8Array }>;

export interface IssuerKeys {
  jwksUrl: string;
  /** The JWK set, formatted. */
  text: string;
}

/** Throws with a message for people that names every address asked. */
export async function findIssuerKeys(
  issuer: string,
  fetchElsewhere: FetchElsewhere,
): Promise<IssuerKeys> {
  const base = issuerUrl(issuer);
  const failures: string[] = [];
  for (const url of metadataUrls(base)) {
    const metadata = await readJson(url, fetchElsewhere).catch((error) => {
      failures.push(messageOf(error));
      return undefined;
    });
    const jwksUrl = (metadata as { jwks_uri?: unknown } | undefined)?.jwks_uri;
    if (typeof jwksUrl === "string" && /^https?:\/\//.test(jwksUrl)) {
      return fetchJwks(jwksUrl, fetchElsewhere);
    }
    if (metadata !== undefined) failures.push(`${url} names no jwks_uri.`);
  }
  try {
    return await fetchJwks(`${withoutSlash(base.href)}/.well-known/jwks.json`, fetchElsewhere);
  } catch (error) {
    throw new Error([...failures, messageOf(error)].join("\n"));
  }
}

/** Fetches one JWK set; throws with a message for people. */
export async function fetchJwks(url: string, fetchElsewhere: FetchElsewhere): Promise<IssuerKeys> {
  const text = JSON.stringify(await readJson(url, fetchElsewhere), null, 2);
  try {
    parseJwks(text);
  } catch (error) {
    throw new Error(`${url}: ${messageOf(error)}`);
  }
  return { jwksUrl: url, text };
}

function issuerUrl(issuer: string): URL {
  const text = issuer.trim();
  if (!/^https?:\/\//i.test(text) || !URL.canParse(text)) {
    throw new Error("The issuer is not an http(s) URL, so its keys cannot be looked up there.");
  }
  const url = new URL(text);
  if (url.username !== "" || url.password !== "") {
    throw new Error("The issuer's URL holds credentials; it is not asked.");
  }
  url.search = "";
  url.hash = "";
  return url;
}

/** RFC 8414 section 3.1 puts the well-known part before the path, OpenID Connect after it. */
function metadataUrls({ origin, pathname }: URL): string[] {
  const path = withoutSlash(pathname);
  return [
    `${origin}${path}/.well-known/openid-configuration`,
    `${origin}/.well-known/oauth-authorization-server${path}`,
  ];
}

async function readJson(url: string, fetchElsewhere: FetchElsewhere): Promise<unknown> {
  const { status, bytes } = await fetchElsewhere(url).catch((error) => {
    const why = "nobody answers there, or its server does not let web pages read it (CORS)";
    throw new Error(`${url}: ${why}. ${messageOf(error)}`);
  });
  if (status !== 200) throw new Error(`${url}: answered with status ${status}.`);
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    throw new Error(`${url}: the answer is not JSON.`);
  }
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function withoutSlash(text: string): string {
  return text.replace(/\/+$/, "");
}
