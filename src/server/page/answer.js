/** One answer on the page: the thinking, folded when it is over, what the model says, and what it took. */

import { rateOf } from "./conversation.js";
import { button, copy, element, say } from "./dom.js";
import { counted, duration, rate } from "./format.js";
import { MarkdownStream } from "./markdown.js";
import { patch } from "./patch.js";

const UNFINISHED = "Not whole: it was still coming when this was kept.";

/** Markdown that grows. */
class Text {
  #stream = new MarkdownStream();
  #length = 0;

  constructor(className) {
    this.root = element("div", `${className} markdown`);
  }

  set(text) {
    if (text.length === this.#length) return;
    this.#stream.push(text.slice(this.#length));
    this.#length = text.length;
    patch(this.root, this.#stream.blocks());
  }
}

export class AnswerView {
  root = element("article", "answer");
  #answer;
  #again;
  #thinking = new Text("thinking");
  #said = new Text("content");
  #summary = element("summary");
  #reasoning = element("details", "reasoning", this.#summary, this.#thinking.root);
  #waiting = element("p", "waiting");
  #folded = false;
  #byHand = false;

  /** Shows an answer; `again` asks for another. */
  constructor(answer, again) {
    this.#answer = answer;
    this.#again = again;
    this.root.setAttribute("aria-label", "Answer");
    this.root.append(this.#said.root, this.#waiting);
    this.#summary.addEventListener("click", () => (this.#byHand = true));
  }

  /** Shows what has come; `following` tells whether the reader is at its end. */
  draw(waiting, following = true) {
    const answer = this.#answer;
    this.root.setAttribute("aria-busy", "true");
    if (answer.reasoning) this.#think(following);
    this.#said.set(answer.content);
    this.#waiting.textContent = waiting;
    this.#waiting.hidden = answer.reasoning !== "" || answer.content !== "";
  }

  /** Shows one that is over. */
  end() {
    const answer = this.#answer;
    this.draw("");
    this.root.setAttribute("aria-busy", "false");
    this.#waiting.remove();
    if (answer.reasoning) this.#fold();
    if (answer.state === "failed") this.root.append(this.#failure());
    else this.root.append(this.#foot());
  }

  #think(following) {
    const { reasoning, content, state, thoughtFor, thoughts } = this.#answer;
    if (!this.#reasoning.isConnected) {
      this.root.prepend(this.#reasoning);
      this.#reasoning.open = state === "coming";
    }
    this.#thinking.set(reasoning);
    const over = content !== "" || state !== "coming";
    const took = `${duration(thoughtFor)}, ${counted(thoughts, "token")}`;
    this.#summary.textContent = over ? `Thought for ${took}` : `Thinking… ${took}`;
    this.#summary.classList.toggle("busy", !over);
    // Not under the eyes of who reads it.
    if (over && following) this.#fold();
  }

  #fold() {
    if (!this.#folded && !this.#byHand) this.#reasoning.open = false;
    this.#folded = true;
  }

  #failure() {
    const { message, advice } = this.#answer.failure;
    const shown = element("div", "error", element("p", "what", message), element("p", "", advice), button("again", "Try again", this.#again));
    shown.setAttribute("role", "alert");
    return shown;
  }

  #foot() {
    const answer = this.#answer;
    const facts = [];
    if (answer.tokens > 0) facts.push(counted(answer.tokens, "token"));
    const speed = rateOf(answer);
    if (speed !== null) facts.push(`${rate(speed)} tokens/s`);
    if (answer.took > 0) facts.push(duration(answer.took));
    if (answer.state === "stopped") facts.push("stopped");
    if (answer.finish === "length") facts.push("ended by the limit of tokens");
    const whole = async () => say((await copy(answer.content)) ? "The answer is copied." : "The browser does not allow this page to copy; select the text instead.");
    const copied = button("quiet copy", "Copy", whole, "Copy the answer");
    copied.hidden = answer.content === "";
    const foot = element("div", "answer-foot", element("p", "", facts.join(" · ")), copied, button("quiet again", "Again", this.#again, "Answer again"));
    if (answer.state === "coming") foot.prepend(element("p", "note", UNFINISHED));
    return foot;
  }
}

/** Lets the buttons beside code copy it. */
export function setUpCodeCopying(box) {
  box.addEventListener("click", async ({ target }) => {
    if (!target.matches?.(".copy-code")) return;
    const code = target.closest(".code").querySelector("code");
    say((await copy(code.textContent)) ? "The code is copied." : "The browser does not allow this page to copy; select the text instead.");
  });
}
