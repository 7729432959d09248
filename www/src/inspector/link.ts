// The one way for a token into an address: behind the `#`, which no server is sent, and only when
// somebody asks for it.

export function linkWith(token: string): string {
  const url = new URL(location.href);
  url.hash = `${VIEW}?token=${encodeURIComponent(token)}`;
  return url.href;
}

/** The token that the address brings, taken out of it at once. */
export function takeTokenFromAddress(): string | undefined {
  const [view, query] = location.hash.slice(1).split("?", 2);
  if (view !== VIEW || query === undefined) return undefined;
  const token = new URLSearchParams(query.replaceAll("+", "%2B")).get("token") ?? undefined;
  clearAddress();
  return token;
}

/** Leaves nothing but the view's name behind the `#`. */
export function clearAddress(): void {
  const url = new URL(location.href);
  url.hash = VIEW;
  history.replaceState(null, "", url);
}

const VIEW = "inspector";
