// Finds the token in what was pasted: a token alone, with quotes or a header around it, a token
// response in JSON, or a whole command such as a curl line.

export interface Found {
  /** The token without the text around it and without white space. */
  token: string;
  /** Where it is in the pasted text. */
  place: Place;
  /** What was ignored. */
  ignored: string[];
}

export interface Place {
  from: number;
  end: number;
}

export function findToken(pasted: string): Found {
  return inTokenResponse(pasted) ?? inCommand(pasted) ?? alone(pasted);
}

/** RFC 6749 section 5.1; the members of OpenID Connect and of other APIs come after it. */
function inTokenResponse(pasted: string): Found | undefined {
  if (!pasted.trimStart().startsWith("{")) return undefined;
  let response: unknown;
  try {
    response = JSON.parse(pasted);
  } catch {
    return undefined;
  }
  const token = tokenIn(response, 0);
  const from = token === undefined ? -1 : pasted.indexOf(token);
  if (token === undefined || from < 0) return undefined;
  return { token, place: { from, end: from + token.length }, ignored: ["the rest of the JSON"] };
}

function tokenIn(value: unknown, depth: number): string | undefined {
  if (typeof value !== "object" || value === null || depth > MAX_DEPTH) return undefined;
  const members = value as Record<string, unknown>;
  for (const name of TOKEN_MEMBERS) {
    const token = members[name];
    if (typeof token === "string" && token !== "") return token;
  }
  for (const inner of Object.values(members)) {
    const token = typeof inner === "string" && A_TOKEN.test(inner) ? inner : tokenIn(inner, depth + 1);
    if (token !== undefined) return token;
  }
  return undefined;
}

/** The bearer token of a command or of a list of headers, else the first JWT of a command. */
function inCommand(pasted: string): Found | undefined {
  const isCommand = COMMAND.test(pasted);
  const header = AUTHORIZATION.exec(pasted);
  const isList = header !== null && ANOTHER_HEADER.test(pasted.slice(header.index + 1));
  if (!isCommand && !isList) return undefined;
  const [place, isHeader] = header === null ? [jwtIn(pasted), false]
    : [valueAfter(pasted, header), true];
  if (place === undefined) return undefined;
  const what = isCommand ? "the rest of the command" : "the other headers";
  const ignored = isHeader ? [what, "the header name", "“Bearer”"] : [what];
  return { token: withoutSpace(pasted.slice(place.from, place.end)), place, ignored };
}

function valueAfter(pasted: string, header: RegExpExecArray): Place {
  const [whole, quote = ""] = header;
  const from = header.index + whole.length;
  const rest = pasted.slice(from);
  const end = quote !== "" ? rest.indexOf(quote) : rest.search(/\s/);
  return { from, end: end < 0 ? pasted.length : from + end };
}

function jwtIn(pasted: string): Place | undefined {
  const found = A_JWT.exec(pasted);
  return found === null ? undefined : { from: found.index, end: found.index + found[0].length };
}

/** A token with only a header name, quotes or white space around it. */
function alone(pasted: string): Found {
  const ignored: string[] = [];
  let [from, end] = [0, pasted.length];
  const skip = (pattern: RegExp, what?: string) => {
    const size = pattern.exec(pasted.slice(from, end))?.[0].length ?? 0;
    from += size;
    if (size > 0 && what !== undefined) ignored.push(what);
  };
  skip(/^\s+/);
  end = from + pasted.slice(from).trimEnd().length;
  skip(/^(?:-H\s+)?["']?authorization\s*:\s*/i, "the header name");
  skip(/^["'`“”‘’„]+/, "quotes");
  const quotes = /["'`“”‘’,;]+$/.exec(pasted.slice(from, end));
  if (quotes !== null) {
    end -= quotes[0].length;
    ignored.push("quotes");
  }
  skip(/^(?:bearer|dpop)\s+/i, "“Bearer”");
  skip(/^["'`“”‘’]+/, "quotes");
  const token = withoutSpace(pasted.slice(from, end));
  if (token.length < end - from) ignored.push("white space and line breaks");
  return { token, place: { from, end }, ignored: [...new Set(ignored)] };
}

function withoutSpace(text: string): string {
  return text.replace(/\s+/g, "");
}

const TOKEN_MEMBERS = ["access_token", "accessToken", "id_token", "idToken", "token", "jwt"];
const A_TOKEN = /^ey[\w-]+\.[\w-]*\.[\w-]*$/;
const A_JWT = /ey[\w-]+\.[\w-]*\.[\w-]*/;
const COMMAND = /^\s*(?:\$\s+)?(?:curl|http|https|wget|xh)\s/;
const AUTHORIZATION = /(["'])?authorization\s*:\s*(?:bearer|dpop)\s+/i;
const ANOTHER_HEADER = /\n[A-Za-z][A-Za-z0-9-]*\s*:\s/;
const MAX_DEPTH = 3;
