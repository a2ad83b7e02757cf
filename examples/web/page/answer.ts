/** One answer on the page: the thinking, folded, what the model says, and what it took. */

import type { ChatCompletionChunk, FinishReason, Timings, Usage } from "../src/types.js";
import { button, element } from "./dom.js";
import { ExpertLog } from "./experts.js";
import type { Trace } from "./experts-panel.js";
import { counted, duration, rate } from "./format.js";

/** Letters of the thinking that are shown while it is folded and goes on. */
const TAIL = 40;

/** What the user can do with an answer. */
export interface AnswerActions {
  copy(text: string): void;
  again(): void;
}

export class AnswerView implements Trace {
  readonly root = element("article", "answer");
  readonly log = new ExpertLog();
  content = "";
  usage: Usage | null = null;
  timings: Timings | null = null;
  private readonly thinking = element("div", "thinking");
  private readonly summary = element("summary");
  private readonly reasoning = element("details", "reasoning", this.summary, this.thinking);
  private readonly said = element("div", "content");
  private readonly foot = element("div", "answer-foot");
  /** The text of each token, by its position. */
  private readonly spans = new Map<number, HTMLElement>();
  private marked: HTMLElement[] = [];
  private begun = performance.now();
  private thought = 0;
  private thoughtFor: number | null = null;
  private finish: FinishReason | null = null;

  constructor(private readonly actions: AnswerActions) {
    this.root.setAttribute("aria-label", "Answer");
    this.root.setAttribute("aria-busy", "true");
    this.root.append(this.said);
  }

  /** Takes in a chunk; true if it brought text. */
  take(chunk: ChatCompletionChunk): boolean {
    if (chunk.experts) this.log.add(chunk.experts, this.spans.size > 0);
    this.usage = chunk.usage ?? this.usage;
    this.timings = chunk.timings ?? this.timings;
    const [choice] = chunk.choices;
    this.finish = choice?.finish_reason ?? this.finish;
    const { reasoning_content: thinking, content } = choice?.delta ?? {};
    if (thinking) this.think(thinking);
    if (content) {
      this.endThinking();
      this.content += content;
      this.append(this.said, content);
    }
    return Boolean(thinking || content);
  }

  /** No more chunks come; of an answer that failed the failure says what can be done. */
  end(outcome: "whole" | "stopped" | "failed"): void {
    this.endThinking();
    this.root.setAttribute("aria-busy", "false");
    if (this.usage && this.log.layers > 0) this.log.first = this.usage.prompt_tokens;
    if (outcome === "failed") return;
    const facts: string[] = [];
    if (this.usage) facts.push(counted(this.usage.completion_tokens, "token"));
    if (this.timings) {
      facts.push(`${rate(this.timings.decode_tokens_per_second)} tokens/s`);
      facts.push(duration(this.timings.prefill_ms + this.timings.decode_ms));
    }
    if (outcome === "stopped") facts.push("stopped");
    else if (this.finish === "length") facts.push("ended by the limit of tokens");
    const copy = button("quiet copy", "Copy", () => this.actions.copy(this.content));
    copy.hidden = this.content === "";
    const again = button("quiet again", "Again", () => this.actions.again());
    again.setAttribute("aria-label", "Answer again");
    this.foot.replaceChildren(element("p", "", facts.join(" · ")), copy, again);
    this.root.append(this.foot);
  }

  text(position: number): string {
    return this.spans.get(position)?.textContent ?? "";
  }

  mark(shown: number | null, sent: ReadonlySet<number>): void {
    for (const span of this.marked) span.classList.remove("shown", "sent");
    this.marked = [];
    const add = (position: number, name: string): void => {
      const span = this.spans.get(position);
      span?.classList.add(name);
      if (span) this.marked.push(span);
    };
    for (const position of sent) add(position, "sent");
    if (shown !== null) add(shown, "shown");
  }

  /** The position of the token that an event points at. */
  positionAt(target: EventTarget | null): number | null {
    const span = target instanceof Element ? target.closest<HTMLElement>(".token") : null;
    return span ? Number(span.dataset.position) : null;
  }

  private think(text: string): void {
    if (this.thought === 0) {
      this.root.prepend(this.reasoning);
      this.begun = performance.now();
    }
    this.thought++;
    this.append(this.thinking, text);
    // Its last words, so that one sees it go on without unfolding it.
    const words = (this.thinking.textContent ?? "").slice(-TAIL).replace(/^\S*\s/, "");
    this.summary.replaceChildren(`Thinking… ${counted(this.thought, "token")} `, element("span", "tail", words));
  }

  private endThinking(): void {
    if (this.thought === 0) return;
    this.thoughtFor ??= performance.now() - this.begun;
    const tokens = this.usage?.completion_tokens_details.reasoning_tokens ?? this.thought;
    this.summary.textContent = `Thought for ${duration(this.thoughtFor)}, ${counted(tokens, "token")}`;
  }

  private append(to: HTMLElement, text: string): void {
    // Without the experts there is nothing to show of a single token.
    if (this.log.layers === 0) return to.append(text);
    const span = element("span", "token", text);
    span.dataset.position = String(this.log.next);
    this.spans.set(this.log.next, span);
    to.append(span);
  }
}
