/** The conversation with a model. */

import type { Engine } from "./tiefsee/index.js";
import type { ChatMessage } from "../src/types.js";
import { AnswerView } from "./answer.js";
import { Composer } from "./composer.js";
import { button, byId, element } from "./dom.js";
import type { ExpertsPanel } from "./experts-panel.js";
import { failure } from "./failure.js";
import { RateMeter, showFigures } from "./figures.js";
import { samplingOptions, sendsHistory, systemPrompt } from "./settings.js";
import { BUNDLED_HINT, STARTERS } from "./starters.js";
import { announce, say } from "./status.js";

const HINT = "What you write and what the model answers stays on this device.";

interface Turn {
  question: string;
  shown: HTMLElement;
  answer: AnswerView;
}

export class Chat {
  private readonly messages = byId("messages", HTMLElement);
  private readonly empty = byId("empty", HTMLElement);
  private readonly composer = new Composer((text) => void this.ask(text), () => this.stop());
  private engine: Engine | null = null;
  private turns: Turn[] = [];
  private abort: AbortController | null = null;

  constructor(private readonly experts: ExpertsPanel) {
    byId("new-chat", HTMLButtonElement).addEventListener("click", () => this.clear());
    this.messages.addEventListener("pointerover", (event) => this.look(event));
    this.messages.addEventListener("click", (event) => this.look(event));
    this.messages.addEventListener("pointerleave", () => experts.leave());
  }

  /** Begins a conversation with this model. */
  open(engine: Engine, bundled: boolean): void {
    this.engine = engine;
    byId("empty-hint", HTMLElement).textContent = bundled ? BUNDLED_HINT : HINT;
    const starters = bundled ? STARTERS : [];
    byId("starters", HTMLElement).replaceChildren(
      ...starters.map((text) => element("li", "", button("", text, () => void this.ask(text)))),
    );
    this.clear();
    void this.refresh(null);
  }

  /** Ends what is under way; the model is about to go. */
  close(): void {
    this.stop();
    this.engine = null;
  }

  private clear(): void {
    this.stop();
    this.turns = [];
    this.messages.replaceChildren(this.empty);
    this.experts.show(null);
    this.composer.focus();
  }

  private stop(): void {
    this.abort?.abort();
  }

  private async ask(question: string): Promise<void> {
    if (this.abort) return;
    this.empty.remove();
    const shown = element("div", "question", element("span", "unseen", "You: "), question);
    this.messages.append(shown);
    await this.answer(question, shown);
  }

  private async again(turn: Turn): Promise<void> {
    if (this.abort || this.turns.at(-1) !== turn) return;
    this.turns.pop();
    turn.answer.root.remove();
    // The button that was pressed is gone with the answer.
    this.composer.focus();
    await this.answer(turn.question, turn.shown);
  }

  private async answer(question: string, shown: HTMLElement): Promise<void> {
    const view = new AnswerView({ copy: (text) => void copy(text), again: () => void this.again(turn) });
    const turn: Turn = { question, shown, answer: view };
    const request = this.requested(question);
    const abort = new AbortController();
    this.turns.push(turn);
    this.messages.append(view.root);
    this.messages.scrollTop = this.messages.scrollHeight;
    this.abort = abort;
    this.composer.busy = true;
    this.experts.show(this.experts.on ? view : null);
    const meter = new RateMeter();
    const fault = await this.stream(request, view, meter, abort.signal).catch((error: unknown) => ({ error }));
    // A stop may end the loop either way; it is no failure.
    const outcome = abort.signal.aborted ? "stopped" : fault ? "failed" : "whole";
    this.abort = null;
    this.composer.busy = false;
    meter.end(view.timings);
    const follow = this.atEnd();
    view.end(outcome);
    if (fault && outcome === "failed") view.root.append(failure(fault.error, () => void this.again(turn)));
    if (follow) this.messages.scrollTop = this.messages.scrollHeight;
    // The conversation may have been left meanwhile.
    if (!this.turns.includes(turn)) return;
    this.experts.summarize();
    this.experts.update();
    if (outcome === "whole") announce(`Answer: ${view.content}`);
    if (outcome === "stopped") announce("Stopped.");
    if (view.usage) await this.refresh(view);
  }

  private async stream(messages: ChatMessage[], view: AnswerView, meter: RateMeter, signal: AbortSignal): Promise<void> {
    const stream = await this.engine!.chat.completions.create(
      { messages, stream: true, stream_options: { include_usage: true }, experts: this.experts.on, ...samplingOptions() },
      { signal },
    );
    for await (const chunk of stream) {
      // Who has scrolled up to read is left there.
      const follow = this.atEnd();
      if (view.take(chunk)) meter.tick();
      if (chunk.experts) this.experts.update();
      if (follow) this.messages.scrollTop = this.messages.scrollHeight;
    }
  }

  /** The messages of the next request; answers without their thinking, as the models expect. */
  private requested(question: string): ChatMessage[] {
    const earlier = sendsHistory() ? this.turns.filter((turn) => turn.answer.content !== "") : [];
    const messages = earlier.flatMap((turn): ChatMessage[] => [
      { role: "user", content: turn.question },
      { role: "assistant", content: turn.answer.content },
    ]);
    return [...systemPrompt(), ...messages, { role: "user", content: question }];
  }

  private atEnd(): boolean {
    const { scrollTop, clientHeight, scrollHeight } = this.messages;
    return scrollTop + clientHeight > scrollHeight - 40;
  }

  private async refresh(view: AnswerView | null): Promise<void> {
    // An engine that is being unloaded has no figures any more.
    const stats = await this.engine?.stats().catch(() => null);
    if (stats) showFigures(view?.usage ?? null, view?.timings ?? null, stats);
  }

  private look(event: Event): void {
    for (const { answer } of this.turns) {
      const position = answer.root.contains(event.target as Node) ? answer.positionAt(event.target) : null;
      if (position !== null) this.experts.look(answer, position, event.type === "click");
    }
  }
}

async function copy(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    say("The answer is copied.");
  } catch {
    say("The browser does not allow this page to copy; select the text instead.");
  }
}
