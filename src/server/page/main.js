/** The page: it finds out what the server serves, and puts its parts together. */

import { Chat } from "./chat.js";
import { button, byId, element, say } from "./dom.js";
import { Failure, pause, servedModel } from "./server.js";
import { askKey, Settings } from "./settings.js";
import { Sidebar } from "./sidebar.js";
import { BUNDLED_HINT, STARTERS } from "./starters.js";
import { Store } from "./store.js";
import { setUpTheme } from "./theme.js";

/** What the bundled model is called. */
const BUNDLED = "demo";
const HINT = "What you write goes to this server and nowhere else; conversations are kept in this browser.";

/** The model that is served, however long it takes until there is one; null without the server's key. */
async function connect() {
  for (;;) {
    try {
      return await servedModel();
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      if (error.kind === "key") {
        if (await askKey(error.message)) continue;
        say(error.message);
        return null;
      }
      await pause(error.pause, undefined, (left) => say(`${error.message} Asking again in ${left} s.`));
    }
  }
}

function introduce({ id, context }, chat) {
  byId("model-name").textContent = id;
  byId("model-name").title = context ? `${id}: a conversation has room for ${context.toLocaleString("en")} tokens` : id;
  const bundled = id === BUNDLED;
  byId("empty-hint").textContent = bundled ? BUNDLED_HINT : HINT;
  const starters = bundled ? STARTERS : [];
  byId("starters").replaceChildren(...starters.map((text) => element("li", "", button("", text, () => chat.ask(text)))));
}

async function start() {
  setUpTheme();
  const settings = new Settings(() => void meet());
  const store = await Store.open((id) => void chat.changed(id).then(refresh));
  const chat = new Chat(store, settings, {
    onChange: () => void refresh(),
    askKey: async (sentence) => {
      const given = await askKey(sentence);
      if (given) void meet();
      return given;
    },
  });
  const sidebar = new Sidebar({
    begin: () => chat.begin(),
    open: async (id) => (await chat.open(id)) || refresh(),
    rename: async (id, title) => (await store.rename(id, title), refresh()),
    remove: async (id) => {
      await store.remove(id);
      chat.forget(id);
      await refresh();
    },
  });
  async function refresh() {
    sidebar.set(await store.list(), chat.id, chat.live);
  }
  byId("kept-hint").hidden = store.lasts;
  addEventListener("hashchange", () => void chat.open(location.hash.slice(1)));
  if (!(await chat.open(location.hash.slice(1)))) chat.begin();
  await meet();

  /** Learns what is served, unless that is known. */
  async function meet() {
    if (chat.model) return;
    const model = await connect();
    if (!model || chat.model) return;
    chat.model = model;
    say("");
    introduce(model, chat);
  }
}

start().catch((error) => say(`The page does not work: ${error.message}`));
