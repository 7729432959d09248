// The page: two views in one frame.

import type { ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Inspector } from "./inspector/inspector";
import { Policy } from "./policy";
import { storedKey } from "./shared/sign-in";

type View = "inspector" | "console";
type Shown = ComponentType<{ isShown: boolean }>;

export function Page() {
  const [view, show] = useState(viewOf(location.hash));
  useEffect(() => {
    const follow = () => show(viewOf(location.hash));
    addEventListener("hashchange", follow);
    return () => removeEventListener("hashchange", follow);
  }, []);
  const link = (name: View, text: string) => (
    <a href={`#${name}`} aria-current={view === name ? "page" : undefined}>{text}</a>
  );
  return (
    <>
      <a class="skip" href="#main">Skip to the content</a>
      <header class="top">
        <p class="brand"><span class="switch" aria-hidden="true" />Offswitch</p>
        <nav aria-label="Views">{link("inspector", "Inspector")}{link("console", "Console")}</nav>
      </header>
      <main id="main">
        {/* Both stay mounted: what was typed or fetched is still there when you come back. */}
        <div hidden={view !== "inspector"}><Inspector isShown={view === "inspector"} /></div>
        <div hidden={view !== "console"}><Later isShown={view === "console"} /></div>
      </main>
      <footer class="bottom"><Policy /></footer>
    </>
  );
}

/** The console, loaded when it is first opened, or when this tab is still signed in. */
function Later({ isShown }: { isShown: boolean }) {
  const [Console, set] = useState<Shown | undefined>();
  const [problem, setProblem] = useState("");
  useEffect(() => {
    if (Console !== undefined || (!isShown && storedKey() === null)) return;
    const load = async () => {
      try {
        const { Console: found } = await import("./console/console");
        set(() => found);
      } catch {
        setProblem("The console could not be loaded. Check the network, then open it again.");
      }
    };
    void load();
  }, [isShown, Console]);
  if (Console !== undefined) return <Console isShown={isShown} />;
  return <p role="status">{problem || "Loading the console…"}</p>;
}

function viewOf(hash: string): View {
  return hash.startsWith("#console") ? "console" : "inspector";
}
