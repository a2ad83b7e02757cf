/** The box to write in: it grows with its text, Enter sends, and while an answer comes one can stop it. */

import { byId } from "./dom.js";

export class Composer {
  #prompt = byId("prompt");
  #send = byId("send");
  #stop = byId("stop");
  #editing = byId("editing");

  /** `onLast` is called where one wants to change the last question. */
  constructor({ onSend, onStop, onLast }) {
    const form = byId("composer");
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const text = this.#prompt.value.trim();
      if (text === "" || this.#send.hidden) return;
      const editing = this.editing;
      this.clear();
      onSend(text, editing);
    });
    this.#prompt.addEventListener("keydown", (event) => {
      // While an input method composes, its keys are its own.
      if (event.isComposing) return;
      if (event.key === "ArrowUp" && this.#prompt.value === "") return onLast();
      if (event.key !== "Enter" || event.shiftKey) return;
      event.preventDefault();
      form.requestSubmit();
    });
    this.#prompt.addEventListener("input", () => this.#fit());
    this.#stop.addEventListener("click", onStop);
    byId("skip").addEventListener("click", () => this.#prompt.focus());
    byId("edit-cancel").addEventListener("click", () => (this.clear(), this.focus()));
    document.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || event.defaultPrevented || document.querySelector("dialog[open], .list-open")) return;
      if (!this.#stop.hidden) onStop();
      else if (this.editing) this.clear();
    });
  }

  /** Whether an answer is under way. */
  set busy(busy) {
    const focused = document.activeElement === this.#send || document.activeElement === this.#stop;
    this.#send.hidden = busy;
    this.#stop.hidden = !busy;
    // The button that had the focus is gone.
    if (focused) (busy ? this.#stop : this.#prompt).focus();
  }

  /** Whether the last question is being changed. */
  get editing() {
    return !this.#editing.hidden;
  }

  edit(question) {
    this.#prompt.value = question;
    this.#editing.hidden = false;
    this.#fit();
    this.#prompt.focus();
  }

  clear() {
    this.#prompt.value = "";
    this.#editing.hidden = true;
    this.#fit();
  }

  focus() {
    // Where one types on the screen, the keyboard would cover half of it.
    if (matchMedia("(hover: hover)").matches) this.#prompt.focus();
  }

  #fit() {
    this.#prompt.style.height = "auto";
    this.#prompt.style.height = `${this.#prompt.scrollHeight + 2}px`;
  }
}
