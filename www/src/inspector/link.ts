// A token in an address: only after the `#`, which browsers send to no server, and only on request.

export function linkWith(token: string): string {
  const url = new URL(location.href);
  url.hash = `${VIEW}?token=${encodeURIComponent(token)}`;
  return url.href;
}

/** The token in the address, which is removed from it immediately. */
export function takeTokenFromAddress(): string | undefined {
  const [view, query] = location.hash.slice(1).split("?", 2);
  if (view !== VIEW || query === undefined) return undefined;
  const token = new URLSearchParams(query.replaceAll("+", "%2B")).get("token") ?? undefined;
  clearAddress();
  return token;
}

/** Leaves only the view's name after the `#`. */
export function clearAddress(): void {
  const url = new URL(location.href);
  url.hash = VIEW;
  history.replaceState(null, "", url);
}

const VIEW = "inspector";
