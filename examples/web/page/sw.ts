/**
 * Keeps this site's files, so that the page and the bundled model work with no network.
 *
 * The page registers it as `sw.js?<version>`: a new version is a new worker with a cache of its own,
 * which takes over when no page of the old one is open any more, so files of two versions never mix.
 * A classic script, because not every browser takes modules here.
 */

const worker = self as unknown as ServiceWorkerGlobalScope;
/** What this site's caches are called: another folder of the origin may hold another. */
const CACHES = `tiefsee ${worker.registration.scope} `;
const CACHE = CACHES + worker.location.search.slice(1);
/** The site's version and what belongs to it: asked for anew as long as there is a network. */
const LIST = "site-files.json";

worker.addEventListener("install", (event) => event.waitUntil(install()));
worker.addEventListener("activate", (event) => event.waitUntil(activate()));
worker.addEventListener("fetch", (event) => {
  const { request } = event;
  const mine = request.method === "GET" && request.url.startsWith(worker.registration.scope);
  if (mine) event.respondWith(answer(request));
});

async function install(): Promise<void> {
  const list = await fetch(LIST, { cache: "no-store" });
  const { version, files } = await list.clone().json();
  if (`?${version}` !== worker.location.search) throw new Error("the site changed while it was being kept");
  const cache = await caches.open(CACHE);
  await cache.addAll(files.map((file: string) => new Request(file, { cache: "no-cache" })));
  await cache.put(LIST, list);
}

async function activate(): Promise<void> {
  const old = (await caches.keys()).filter((name) => name.startsWith(CACHES) && name !== CACHE);
  await Promise.all(old.map((name) => caches.delete(name)));
  await worker.clients.claim();
}

async function answer(request: Request): Promise<Response> {
  const url = new URL(request.url);
  if (url.pathname.endsWith("/")) url.pathname += "index.html";
  const kept = await (await caches.open(CACHE)).match(url, { ignoreSearch: true });
  if (kept && url.href === worker.registration.scope + LIST) return fetch(request).catch(() => kept);
  if (!kept) return isPackage(url) ? new Response(null, { status: 404, statusText: "Not Found" }) : fetch(request);
  const range = request.headers.get("range");
  return range ? part(kept, range, request.headers.get("if-range")) : kept;
}

/**
 * The package and the bundled model are kept whole: what is not there, such as a file that a model may
 * lack, is nowhere, and with no network only this worker can say so.
 */
const isPackage = (url: URL): boolean => url.href.startsWith(`${worker.registration.scope}tiefsee/`);

/** The part of a kept file that a `Range` header asks for. */
async function part(kept: Response, range: string, condition: string | null): Promise<Response> {
  const same = condition === kept.headers.get("etag") || condition === kept.headers.get("last-modified");
  const asked = /^bytes=(\d*)-(\d*)$/.exec(range);
  // A server may answer several ranges, or a condition that does not hold, with the whole.
  if (!asked || asked[0] === "bytes=-" || (condition !== null && !same)) return kept;
  const body = await kept.blob();
  const [first, last] = [asked[1]!, asked[2]!];
  const start = first === "" ? Math.max(0, body.size - Number(last)) : Number(first);
  const end = first === "" || last === "" ? body.size : Math.min(Number(last) + 1, body.size);
  const headers = new Headers({ "accept-ranges": "bytes" });
  for (const name of ["content-type", "etag", "last-modified"]) {
    const value = kept.headers.get(name);
    if (value !== null) headers.set(name, value);
  }
  if (start >= end) {
    headers.set("content-range", `bytes */${body.size}`);
    return new Response(null, { status: 416, headers });
  }
  headers.set("content-range", `bytes ${start}-${end - 1}/${body.size}`);
  headers.set("content-length", String(end - start));
  return new Response(body.slice(start, end), { status: 206, statusText: "Partial Content", headers });
}
