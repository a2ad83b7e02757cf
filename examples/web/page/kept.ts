/** The models whose files are kept on this device. */

import { Engine } from "./tiefsee/index.js";
import { button, byId, element } from "./dom.js";
import { bytes } from "./format.js";
import { say } from "./status.js";

/** Lists them anew; `onLoad` is called with the address of one that is to be loaded. */
export async function showKept(onLoad: (url: string) => void): Promise<void> {
  // Where a browser keeps nothing, there is nothing to list.
  const models = await Engine.kept().catch(() => []);
  const forget = async (url?: string): Promise<void> => {
    try {
      await Engine.forget(url);
      say(url === undefined ? "All kept files are deleted." : `The kept files of ${url} are deleted.`);
    } catch (error) {
      say(`The kept files could not be deleted: ${error instanceof Error ? error.message : String(error)}`);
    }
    await showKept(onLoad);
  };
  const rows = models.map(({ url, bytes: size }) => {
    const load = button("quiet", "Load", () => onLoad(url));
    const remove = button("quiet", "Delete", () => void forget(url));
    load.setAttribute("aria-label", `Load ${url}`);
    remove.setAttribute("aria-label", `Delete the kept files of ${url}`);
    return element("li", "", element("span", "url", url), element("span", "size", bytes(size)), load, remove);
  });
  byId("kept-list", HTMLElement).replaceChildren(...rows);
  byId("forget-all", HTMLButtonElement).onclick = () => void forget();
  byId("kept", HTMLElement).hidden = models.length === 0;
}
