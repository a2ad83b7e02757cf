/** What the next answers are asked for with. The key lasts as long as the tab, the rest is remembered. */

import { byId } from "./dom.js";
import { KEY } from "./server.js";
import { recall, remember } from "./storage.js";

const NUMBERS = { temperature: "temperature", "top-p": "top_p", "max-tokens": "max_tokens", seed: "seed" };
const REMEMBERED = [...Object.keys(NUMBERS), "system"];

export class Settings {
  /** `onClose` is called when something may have been changed. */
  constructor(onClose) {
    const dialog = byId("settings");
    byId("settings-open").addEventListener("click", () => {
      byId("key").value = recall(KEY, true) ?? "";
      dialog.showModal();
    });
    byId("settings-form").addEventListener("submit", (event) => {
      event.preventDefault();
      dialog.close();
    });
    byId("settings-reset").addEventListener("click", () => {
      for (const id of REMEMBERED) byId(id).value = "";
      this.#keep();
    });
    dialog.addEventListener("close", () => {
      this.#keep();
      onClose();
    });
    const remembered = parsed(recall("settings"));
    for (const id of REMEMBERED) byId(id).value = remembered[id] ?? "";
    byId("history").checked = remembered.history ?? true;
    this.#mark();
  }

  /** The system prompt, and whether earlier messages are sent too. */
  get conversation() {
    return { system: byId("system").value.trim(), history: byId("history").checked };
  }

  /** The fields of a request that were set; the others are as the model recommends. */
  get sampling() {
    const set = Object.entries(NUMBERS).map(([id, name]) => [name, byId(id).valueAsNumber]);
    return Object.fromEntries(set.filter(([, value]) => !Number.isNaN(value)));
  }

  #keep() {
    const values = Object.fromEntries(REMEMBERED.map((id) => [id, byId(id).validity.valid ? byId(id).value : ""]));
    for (const id of REMEMBERED) byId(id).value = values[id];
    remember("settings", JSON.stringify({ ...values, history: byId("history").checked }));
    remember(KEY, byId("key").value.trim() || null, true);
    this.#mark();
  }

  /** Shows from afar that something is set. */
  #mark() {
    byId("settings-open").classList.toggle("changed", REMEMBERED.some((id) => byId(id).value !== ""));
  }
}

let asking = null;

/** Asks for the server's key, once however many want it; whether one was entered. */
export function askKey(sentence) {
  asking ??= asked(sentence).finally(() => (asking = null));
  return asking;
}

function asked(sentence) {
  const dialog = byId("key-dialog");
  const input = byId("key-asked");
  byId("key-why").textContent = sentence;
  input.value = "";
  dialog.showModal();
  return new Promise((resolve) => {
    const end = (given) => {
      dialog.onclose = null;
      dialog.close();
      resolve(given);
    };
    dialog.onclose = () => end(false);
    byId("key-cancel").onclick = () => end(false);
    byId("key-form").onsubmit = (event) => {
      event.preventDefault();
      remember(KEY, input.value.trim(), true);
      end(true);
    };
  });
}

function parsed(text) {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}
