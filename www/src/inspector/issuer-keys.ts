// Finds the keys of an issuer: by its metadata (RFC 8414, OpenID Connect Discovery), else at the
// address that most issuers use.

import type { Algorithm } from "offswitch";
import { messageOf } from "../shared/message";
import { loadPackage } from "./package";

/** Like `fetchOutside`; rejects with a message if there is no response. */
export type FetchElsewhere = (
  url: string,
  headers?: Record<string, string>,
) => Promise<{ status: number; bytes: Uint8Array }>;

export interface IssuerKeys {
  jwksUrl: string;
  /** The JWK set as it was received. */
  text: string;
}

/** Rejects with a message that names every address that was tried. */
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

/** Fetches one JWK set; rejects with the package's reason if no key of it can be used. */
export async function fetchJwks(url: string, fetchElsewhere: FetchElsewhere): Promise<IssuerKeys> {
  const text = await readText(url, fetchElsewhere);
  const { readKeySet } = await loadPackage();
  const { problem } = readKeySet(text, true, ONE_OF_EACH_TYPE);
  if (problem !== undefined) throw new Error(`${url}: ${problem}.`);
  return { jwksUrl: url, text };
}

function issuerUrl(issuer: string): URL {
  const text = issuer.trim();
  if (text === "") throw new Error("There is no issuer whose keys could be fetched: paste its keys.");
  if (!/^https?:\/\//i.test(text) || !URL.canParse(text)) {
    throw new Error("The issuer is not an http(s) URL, so its keys cannot be fetched: paste them.");
  }
  const url = new URL(text);
  if (url.username !== "" || url.password !== "") {
    throw new Error("The issuer's URL contains credentials; nothing was requested from it.");
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
  const text = await readText(url, fetchElsewhere);
  try {
    return JSON.parse(text);
  } catch {
    throw new Error(`${url}: the answer is not JSON.`);
  }
}

async function readText(url: string, fetchElsewhere: FetchElsewhere): Promise<string> {
  const { status, bytes } = await fetchElsewhere(url).catch((error) => {
    const why = "no response, or the server does not let web pages read it (CORS)";
    throw new Error(`${url}: ${why}. ${messageOf(error)}`);
  });
  if (status !== 200) throw new Error(`${url}: answered with status ${status}.`);
  return new TextDecoder().decode(bytes);
}

function withoutSlash(text: string): string {
  return text.replace(/\/+$/, "");
}

/** Which of these an issuer signs with is not known yet: keys that name no alg are taken by their type. */
const ONE_OF_EACH_TYPE: Algorithm[] = ["EdDSA", "ES256", "ES384", "ES512", "RS256"];
