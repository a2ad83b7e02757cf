/** The conversation that is shown, and all whose answers are on their way. */

import { AnswerView, setUpCodeCopying } from "./answer.js";
import { Composer } from "./composer.js";
import { messages, newConversation, newTurn, titleOf } from "./conversation.js";
import { announce, button, byId, element, say } from "./dom.js";
import { counted, rate } from "./format.js";
import { Keeper } from "./keeper.js";
import { Run } from "./run.js";

/** Pixels from the end within which a reader follows what comes. */
const NEAR = 40;

export class Chat {
  #messages = byId("messages");
  #empty = byId("empty");
  #composer;
  #store;
  #settings;
  #keeper;
  #onChange;
  #askKey;
  /** Running answers by conversation. */
  #runs = new Map();
  #shown = newConversation();
  #views = [];
  #drawing = false;
  model = null;

  /** `onChange` is called when the list of conversations may look otherwise, `askKey` asks for the server's key. */
  constructor(store, settings, { onChange, askKey }) {
    this.#store = store;
    this.#settings = settings;
    this.#onChange = onChange;
    this.#askKey = askKey;
    this.#keeper = new Keeper(store, { onKept: onChange, onBranch: (conversation) => this.#branched(conversation), onError: say });
    this.#composer = new Composer({
      onSend: (text, editing) => this.ask(text, editing),
      onStop: () => this.#runs.get(this.#shown)?.stop(),
      onLast: () => this.#edit(),
    });
    this.#messages.addEventListener("scroll", () => this.#showWay(), { passive: true });
    byId("to-end").addEventListener("click", () => this.#toEnd());
    setUpCodeCopying(this.#messages);
  }

  /** The id of the conversation that is shown. */
  get id() {
    return this.#shown.id;
  }

  /** The ids of those whose answers are on their way. */
  get live() {
    return new Set([...this.#runs.keys()].map(({ id }) => id));
  }

  begin() {
    // What was written before the first question is not lost.
    if (this.#shown.turns.length > 0) this.#composer.clear();
    this.#show(newConversation());
    this.#composer.focus();
  }

  /** Opens a conversation; false if it is not there any more. */
  async open(id) {
    const conversation = this.#live(id) ?? (await this.#store.read(id));
    if (!conversation) return false;
    this.#show(conversation);
    this.#composer.clear();
    this.#composer.focus();
    return true;
  }

  /** Another tab has changed a conversation, or deleted it. */
  async changed(id) {
    const kept = await this.#store.read(id);
    if (!kept && id === this.#shown.id) {
      this.forget(id);
      say("This conversation was deleted in another tab.");
    } else if (!kept) {
      this.forget(id);
    } else if (id === this.#shown.id && kept.revision !== this.#shown.revision && !this.#live(id)) {
      const { scrollTop } = this.#messages;
      const atEnd = this.#atEnd();
      this.#show(kept);
      if (!atEnd) this.#messages.scrollTop = scrollTop;
    }
  }

  /** A conversation is no more. */
  forget(id) {
    this.#runs.get(this.#live(id))?.stop();
    if (id === this.#shown.id) this.begin();
  }

  #live(id) {
    return [...this.#runs.keys()].find((conversation) => conversation.id === id);
  }

  /** Asks a question, in place of the last one if that is being changed. */
  ask(question, instead = false) {
    if (this.#runs.has(this.#shown)) return;
    if (instead) this.#dropLast();
    const conversation = this.#shown;
    conversation.title ||= titleOf(question);
    // What was clicked to ask it may be gone.
    this.#composer.focus();
    this.#answer(conversation, question);
  }

  async #answer(conversation, question) {
    conversation.turns.push(newTurn(question));
    this.#name(conversation);
    const body = {
      model: this.model?.id,
      messages: messages(conversation, this.#settings.conversation),
      stream: true,
      stream_options: { include_usage: true },
      ...this.#settings.sampling,
    };
    const keep = () => void this.#keeper.keep(conversation);
    const run = new Run(conversation, body, { onProgress: () => this.#drawSoon(), keep, askKey: this.#askKey });
    this.#runs.set(conversation, run);
    this.#composer.busy = true;
    this.#addTurn(conversation.turns.at(-1));
    this.#toEnd();
    say("");
    keep();
    await run.go();
    this.#runs.delete(conversation);
    keep();
    if (conversation === this.#shown) this.#ended(run.answer);
  }

  #ended(answer) {
    const follow = this.#atEnd();
    this.#views.at(-1).end();
    this.#composer.busy = false;
    this.#showRate("");
    if (follow) this.#toEnd();
    if (answer.state === "whole") announce(`Answer: ${answer.content}`);
    if (answer.state === "stopped") announce("Stopped.");
  }

  #again() {
    if (this.#runs.has(this.#shown)) return;
    const { question } = this.#shown.turns.at(-1);
    this.#dropLast();
    // The button that was pressed is gone with the answer.
    this.#composer.focus();
    this.#answer(this.#shown, question);
  }

  #edit() {
    const last = this.#shown.turns.at(-1);
    if (last && !this.#runs.has(this.#shown)) this.#composer.edit(last.question);
  }

  #dropLast() {
    this.#shown.turns.pop();
    this.#views.pop().root.remove();
    this.#messages.lastChild.remove();
  }

  #show(conversation) {
    this.#shown = conversation;
    this.#views = [];
    this.#messages.replaceChildren(this.#empty);
    this.#empty.hidden = false;
    const running = this.#runs.has(conversation);
    for (const turn of conversation.turns) this.#addTurn(turn);
    this.#composer.busy = running;
    this.#showRate("");
    say("");
    this.#name(conversation);
    this.#toEnd();
    this.#onChange();
  }

  /** The tab and its address tell which conversation is shown, so that a reload finds it again. */
  #name({ id, title, turns }) {
    const isNew = turns.length === 0;
    document.title = isNew ? "tiefsee" : `${title} · tiefsee`;
    history.replaceState(null, "", isNew ? location.pathname + location.search : `#${id}`);
  }

  #addTurn(turn) {
    this.#empty.hidden = true;
    const edit = button("quiet edit", "Edit", () => this.#edit(), "Edit this question");
    const question = element("div", "question-row", element("div", "question", element("span", "unseen", "You: "), turn.question), edit);
    const view = new AnswerView(turn.answer, () => this.#again());
    this.#views.push(view);
    this.#messages.append(question, view.root);
    const run = this.#runs.get(this.#shown);
    if (run?.answer === turn.answer) view.draw(run.waiting);
    else view.end();
  }

  /** At most once a frame, however fast tokens come. */
  #drawSoon() {
    if (this.#drawing) return;
    this.#drawing = true;
    requestAnimationFrame(() => {
      this.#drawing = false;
      const run = this.#runs.get(this.#shown);
      if (!run) return;
      // Who has scrolled up to read is left there.
      const follow = this.#atEnd();
      this.#views.at(-1).draw(run.waiting, follow);
      this.#showRate(run.rate === null ? "" : `${rate(run.rate)} tokens/s · ${counted(run.answer.tokens, "token")}`);
      if (follow) this.#toEnd();
      else this.#showWay();
    });
  }

  #showRate(text) {
    byId("rate").value = text;
  }

  #branched(conversation) {
    if (conversation === this.#shown) this.#name(conversation);
    say("Another tab has changed this conversation: what is here is kept beside it.");
  }

  #atEnd() {
    const { scrollTop, clientHeight, scrollHeight } = this.#messages;
    return scrollTop + clientHeight > scrollHeight - NEAR;
  }

  #toEnd() {
    this.#messages.scrollTop = this.#messages.scrollHeight;
    this.#showWay();
  }

  #showWay() {
    byId("to-end").hidden = this.#atEnd();
  }
}
