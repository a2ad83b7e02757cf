/** The list of conversations: one of them can be opened, renamed and deleted. On a phone it lies over the page. */

import { button, byId, element } from "./dom.js";

export class Sidebar {
  #main = byId("main");
  #menu = byId("menu");
  #list = byId("conversations");
  /** Each `{id, title, live}`. */
  #heads = [];
  #current = null;
  /** The conversation whose row asks something, and what. */
  #asks = { id: null, what: null };
  #actions;

  /** `actions` are `open(id)`, `rename(id, title)`, `remove(id)` and `begin()`. */
  constructor(actions) {
    this.#actions = actions;
    this.#menu.addEventListener("click", () => this.#show(!this.#main.classList.contains("list-open")));
    byId("backdrop").addEventListener("click", () => this.#show(false));
    for (const id of ["new-chat", "new-chat-top"]) byId(id).addEventListener("click", () => (this.#show(false), actions.begin()));
    document.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !this.#main.classList.contains("list-open")) return;
      event.preventDefault();
      this.#show(false);
    });
    matchMedia("(min-width: 60rem)").addEventListener("change", () => this.#show(false));
    this.#draw();
  }

  /** Lists these; `live` are the ids of those whose answer is on its way. */
  set(heads, current, live) {
    const listed = heads.map(({ id, title }) => ({ id, title, live: live.has(id) }));
    // Nothing moves under a hand that is about to click, or to write a title.
    if (JSON.stringify([listed, current]) === JSON.stringify([this.#heads, this.#current])) return;
    this.#heads = listed;
    this.#current = current;
    if (this.#asks.what !== "rename") this.#draw();
  }

  #show(open) {
    if (open === this.#main.classList.contains("list-open")) return;
    this.#main.classList.toggle("list-open", open);
    this.#menu.setAttribute("aria-expanded", String(open));
    byId("chat").inert = open;
    (open ? byId("new-chat") : this.#menu).focus();
  }

  #draw() {
    const focused = document.activeElement?.closest?.("#conversations li")?.dataset.id;
    this.#list.replaceChildren(...this.#heads.map((head) => this.#row(head)));
    byId("no-conversations").hidden = this.#heads.length > 0;
    if (focused) this.#focus(focused);
  }

  #focus(id) {
    const row = [...this.#list.children].find((row) => row.dataset.id === id);
    (row?.querySelector("input, .sure, .open") ?? byId("new-chat")).focus();
  }

  #row(head) {
    const asked = this.#asks.id === head.id ? this.#asks.what : null;
    const parts = { rename: () => this.#renaming(head), remove: () => this.#removing(head), null: () => this.#named(head) };
    const row = element("li", "", ...parts[asked]());
    row.dataset.id = head.id;
    if (head.id === this.#current) row.className = "current";
    return row;
  }

  #named(head) {
    const open = button("open", head.title, () => (this.#show(false), this.#actions.open(head.id)));
    open.title = head.title;
    if (head.id === this.#current) open.setAttribute("aria-current", "true");
    if (head.live) open.append(element("span", "live", element("span", "unseen", ", answering")));
    return [
      open,
      button("quiet icon rename", "✎", () => this.#ask(head.id, "rename"), `Rename: ${head.title}`),
      button("quiet icon remove", "✕", () => this.#ask(head.id, "remove"), `Delete: ${head.title}`),
    ];
  }

  #renaming(head) {
    const input = element("input");
    input.value = head.title;
    input.maxLength = 200;
    input.setAttribute("aria-label", "Title");
    const end = (title) => {
      if (this.#asks.what !== "rename") return;
      if (title && title !== head.title) this.#actions.rename(head.id, title);
      this.#heads = this.#heads.map((each) => (each.id === head.id ? { ...each, title: title || head.title } : each));
      this.#ask(null, null, head.id);
    };
    input.addEventListener("keydown", (event) => {
      if (event.isComposing || (event.key !== "Enter" && event.key !== "Escape")) return;
      event.preventDefault();
      end(event.key === "Enter" ? input.value.trim() : "");
    });
    input.addEventListener("blur", () => end(input.value.trim()));
    return [input];
  }

  #removing(head) {
    const sure = button("sure", "Delete", () => {
      this.#asks = { id: null, what: null };
      this.#actions.remove(head.id);
      byId("new-chat").focus();
    });
    sure.setAttribute("aria-label", `Delete ${head.title} for good`);
    return [element("span", "asked", "Delete it?"), sure, button("quiet", "Keep", () => this.#ask(null, null, head.id))];
  }

  #ask(id, what, focus = id) {
    this.#asks = { id, what };
    this.#draw();
    this.#focus(focus);
    if (what === "rename") document.activeElement.select();
  }
}
