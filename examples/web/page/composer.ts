/** The box to write in: it grows with its text, Enter sends, and while an answer comes one can stop it. */

import { byId } from "./dom.js";

export class Composer {
  private readonly prompt = byId("prompt", HTMLTextAreaElement);
  private readonly send = byId("send", HTMLButtonElement);
  private readonly stop = byId("stop", HTMLButtonElement);

  constructor(onSend: (text: string) => void, onStop: () => void) {
    const form = byId("composer", HTMLFormElement);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const text = this.prompt.value.trim();
      if (text === "" || this.send.hidden) return;
      this.prompt.value = "";
      this.fit();
      onSend(text);
    });
    this.prompt.addEventListener("keydown", (event) => {
      // While an input method composes, Enter is its own.
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      form.requestSubmit();
    });
    this.prompt.addEventListener("input", () => this.fit());
    this.stop.addEventListener("click", onStop);
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !this.stop.hidden) onStop();
    });
  }

  /** Whether an answer is under way. */
  set busy(busy: boolean) {
    const focused = document.activeElement === this.send || document.activeElement === this.stop;
    this.send.hidden = busy;
    this.stop.hidden = !busy;
    // The button that had the focus is gone.
    if (focused) (busy ? this.stop : this.prompt).focus();
  }

  focus(): void {
    // Where one types on the screen, the keyboard would cover half of it.
    if (matchMedia("(hover: hover)").matches) this.prompt.focus();
  }

  private fit(): void {
    this.prompt.style.height = "auto";
    this.prompt.style.height = `${this.prompt.scrollHeight + 2}px`;
  }
}
