// Who is signed in to the control plane that serves this page. The console signs in; the inspector
// uses the same API key. It is kept in memory, and in sessionStorage only if the user chooses that.

import { useEffect, useState } from "preact/hooks";

export interface SignIn {
  apiKey: string;
  scopes: readonly string[];
  /** The issuer of the control plane's own tokens, and the id of its feed. */
  issuer: string;
}

/** The current sign-in; null without one. */
export function useSignIn(): SignIn | null {
  const [shown, show] = useState(current);
  useEffect(() => {
    show(current);
    listeners.add(show);
    return () => void listeners.delete(show);
  }, []);
  return shown;
}

export function setSignIn(signIn: SignIn | null): void {
  current = signIn;
  for (const listener of [...listeners]) listener(signIn);
}

/** The API key that this tab keeps across reloads, if one is kept. */
export function storedKey(): string | null {
  try {
    return sessionStorage.getItem(STORED);
  } catch {
    // Some browsers forbid storage.
    return null;
  }
}

/** Keeps the key until the tab is closed; null removes it. */
export function storeKey(apiKey: string | null): void {
  try {
    if (apiKey === null) sessionStorage.removeItem(STORED);
    else sessionStorage.setItem(STORED, apiKey);
  } catch {
    // The key is then kept in memory only.
  }
}

let current: SignIn | null = null;
const listeners = new Set<(signIn: SignIn | null) => void>();
const STORED = "offswitch-api-key";
