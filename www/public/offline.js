// Keeps the page for use without a network. Files that are named after their content come from the kept
// copy, all others from the network while there is one.

const KEPT = "offswitch-page";

addEventListener("install", (event) => {
  const fill = async () => {
    const manifest = await (await fetch("manifest.json", { cache: "no-cache" })).json();
    const files = Object.values(manifest).flatMap(({ file, css = [], assets = [] }) => [file, ...css, ...assets]);
    const kept = await caches.open(KEPT);
    await kept.addAll([...new Set(["./", "outside.html", "icon.svg", ...files])]);
  };
  event.waitUntil(fill().then(() => skipWaiting()));
});

addEventListener("activate", (event) => event.waitUntil(clients.claim()));

addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  const scope = new URL(registration.scope);
  if (request.method !== "GET" || url.origin !== scope.origin || !isPage(url, scope)) return;
  event.respondWith(url.pathname.includes("/assets/") ? keptFirst(request) : networkFirst(request));
});

/** Whether a path belongs to the page; other paths of this origin are left alone. */
function isPage({ pathname }, scope) {
  const path = pathname.slice(scope.pathname.length);
  return ["", "index.html", "outside.html", "icon.svg"].includes(path) || path.startsWith("assets/");
}

async function keptFirst(request) {
  const kept = await caches.open(KEPT);
  const found = await kept.match(request);
  if (found !== undefined) return found;
  const response = await fetch(request);
  if (response.ok) await kept.put(request, response.clone());
  return response;
}

async function networkFirst(request) {
  const kept = await caches.open(KEPT);
  try {
    const response = await fetch(request);
    if (response.ok) await kept.put(request, response.clone());
    return response;
  } catch (error) {
    const found = await kept.match(request, { ignoreSearch: true });
    if (found !== undefined) return found;
    throw error;
  }
}
