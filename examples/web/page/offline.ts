/** Registers the service worker, which makes the page work with no network. */

/** Fails in silence: in another site's frame, or with no network, the page works as it did before. */
export async function keepSite(): Promise<void> {
  try {
    const { version } = await (await fetch("site-files.json", { cache: "no-store" })).json();
    await navigator.serviceWorker.register(`sw.js?${version}`);
  } catch {
    // Nothing is kept.
  }
}
