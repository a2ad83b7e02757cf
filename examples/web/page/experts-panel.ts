/** The panel of the experts: the map, the token that is shown on it, and both in words. */

import { byId, element } from "./dom.js";
import { type ExpertLog, type View, favourites } from "./experts.js";
import { count, counted } from "./format.js";
import { type Cell, HeatMap } from "./heatmap.js";

/** An answer whose experts can be shown. */
export interface Trace {
  log: ExpertLog;
  /** The text of the token at a position, if it has any. */
  text(position: number): string;
  /** Marks tokens in the text: the one that is shown, and those sent to an expert. */
  mark(shown: number | null, sent: ReadonlySet<number>): void;
}

/** Layers that the caption writes out. */
const CAPTION_LAYERS = 4;
const NONE: ReadonlySet<number> = new Set();

export class ExpertsPanel {
  private readonly canvas = document.querySelector<HTMLCanvasElement>("#experts canvas")!;
  private readonly map = new HeatMap(this.canvas);
  private readonly scrub = byId("experts-token", HTMLInputElement);
  private readonly view = byId("experts-view", HTMLSelectElement);
  private readonly switch = byId("experts-on", HTMLInputElement);
  private trace: Trace | null = null;
  /** The position of the token that the user looks at; null follows the last one. */
  private chosen: number | null = null;
  /** Whether that token stays when the pointer leaves it. */
  private held = false;
  private cell: Cell | null = null;
  private due = false;

  constructor() {
    this.view.addEventListener("change", () => this.update());
    this.switch.addEventListener("change", () => this.update());
    this.scrub.addEventListener("input", () => this.hold(this.trace!.log.answer[this.scrub.valueAsNumber - 1] ?? null));
    this.scrub.addEventListener("keydown", (event) => this.onKey(event));
    this.canvas.addEventListener("keydown", (event) => this.onKey(event));
    this.canvas.addEventListener("pointermove", (event) => this.point(this.map.at(event.offsetX, event.offsetY)));
    this.canvas.addEventListener("pointerdown", (event) => this.point(this.map.at(event.offsetX, event.offsetY)));
    this.canvas.addEventListener("pointerleave", () => this.point(null));
    byId("experts-details", HTMLDetailsElement).addEventListener("toggle", () => this.update());
    byId("experts", HTMLDetailsElement).addEventListener("toggle", () => this.update());
    new ResizeObserver(() => this.update()).observe(this.canvas.parentElement!);
  }

  /** Whether the experts are wanted. */
  get on(): boolean {
    return this.switch.checked;
  }

  /** Shows the experts of this answer, or of none. */
  show(trace: Trace | null): void {
    if (trace !== this.trace) this.trace?.mark(null, NONE);
    this.trace = trace;
    this.chosen = null;
    this.held = false;
    this.cell = null;
    byId("experts-summary", HTMLElement).textContent = "";
    this.update();
  }

  /** Shows the experts of a token as long as it is pointed at, or holds it until it is told again. */
  look(trace: Trace, position: number, hold: boolean): void {
    if (this.held && !hold) return;
    if (trace !== this.trace) {
      this.show(trace);
      this.summarize();
    }
    if (!hold) this.choose(position);
    else this.hold(this.held && this.chosen === position ? null : position);
  }

  /** The pointer has left the tokens. */
  leave(): void {
    if (!this.held) this.choose(null);
  }

  /** Draws soon; often in a frame costs no more than once. */
  update(): void {
    if (this.due) return;
    this.due = true;
    requestAnimationFrame(() => {
      this.due = false;
      this.draw();
    });
  }

  /** Says in a sentence what the answer's map shows. */
  summarize(): void {
    const log = this.trace?.log;
    if (!log || log.layers === 0) return;
    const { counts, tokens } = log.uses("answer");
    const [first] = log.answer;
    if (first === undefined) return;
    const chosen = log.of(first)![0]!.length;
    const top = counts.map((layer, index) => ({ index, ...favourites(layer, 1)[0]! }));
    const [best] = top.sort((a, b) => b.count - a.count);
    const parts = [
      `${counted(tokens, "token")} through ${counted(log.layers, "layer")}, each to ${chosen} of ${log.routed} experts.`,
      `Most used: expert ${best!.expert} of layer ${best!.index + 1}, by ${Math.round((100 * best!.count) / tokens)} % of the tokens.`,
    ];
    if (log.shared > 0) parts.push(`Not drawn: ${counted(log.shared, "shared expert")} in each layer, which every token goes to.`);
    byId("experts-summary", HTMLElement).textContent = parts.join(" ");
  }

  private hold(position: number | null): void {
    this.held = position !== null;
    this.choose(position);
  }

  private choose(position: number | null): void {
    this.chosen = position;
    this.update();
  }

  private point(cell: Cell | null): void {
    if (cell?.layer === this.cell?.layer && cell?.expert === this.cell?.expert) return;
    this.cell = cell;
    this.update();
  }

  private onKey(event: KeyboardEvent): void {
    const answer = this.trace?.log.answer ?? [];
    const at = this.chosen === null ? answer.length - 1 : answer.indexOf(this.chosen);
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: answer.length - 1 }[event.key];
    // The slider does its own steps.
    if (to !== undefined && event.currentTarget === this.canvas) {
      event.preventDefault();
      this.hold(answer[Math.max(0, Math.min(to, answer.length - 1))] ?? null);
    } else if (event.key === "Escape" && this.chosen !== null) {
      event.stopPropagation();
      this.hold(null);
    }
  }

  private draw(): void {
    const { trace } = this;
    const empty = !this.on || !trace || trace.log.layers === 0;
    byId("experts-map", HTMLElement).hidden = empty;
    byId("experts-empty", HTMLElement).hidden = !empty;
    if (empty || !byId("experts", HTMLDetailsElement).open) return trace?.mark(null, NONE);
    const { log } = trace;
    const view = this.view.value as View;
    const uses = log.uses(view);
    const answer = log.answer;
    const position = this.chosen ?? answer.at(-1) ?? null;
    const token = position === null ? undefined : log.of(position);
    this.map.draw({ uses, token });
    byId("experts-most", HTMLElement).textContent = view === "recent" ? "often" : count(uses.most);
    this.scrub.disabled = answer.length === 0;
    this.scrub.max = String(Math.max(1, answer.length));
    this.scrub.value = String(position === null ? 1 : answer.indexOf(position) + 1);
    const caption = this.cell ? this.describeCell(this.cell) : position === null ? "" : this.describeToken(position);
    byId("experts-place", HTMLOutputElement).value = `${this.scrub.value} of ${answer.length}${this.chosen === null ? ", the last" : ""}`;
    byId("experts-caption", HTMLElement).textContent = caption;
    this.scrub.setAttribute("aria-valuetext", caption);
    trace.mark(this.chosen, this.cell ? this.sentTo(this.cell) : NONE);
    if (byId("experts-details", HTMLDetailsElement).open) this.fillTable(uses.counts);
  }

  private describeToken(position: number): string {
    const { log } = this.trace!;
    const lists = log.of(position);
    const text = this.trace!.text(position);
    const name = text === "" ? "A token without text" : `“${text.replaceAll("\n", "↵")}”`;
    if (!lists) return `${name} ended the answer: it was not read, so no expert saw it.`;
    const written = lists.slice(0, CAPTION_LAYERS).map((list, layer) => `layer ${layer + 1}: ${list.join(", ")}`);
    const more = lists.length - written.length;
    if (more > 0) written.push(`and in ${counted(more, "more layer")}`);
    return [`${name} went to`, ...written].join("\n");
  }

  private describeCell({ layer, expert }: Cell): string {
    const answer = this.trace!.log.answer;
    const sent = count(this.sentTo({ layer, expert }).size);
    return `Expert ${expert} of layer ${layer + 1}: ${sent} of the answer's ${counted(answer.length, "token")}, underlined in the text.`;
  }

  private sentTo({ layer, expert }: Cell): Set<number> {
    const { log } = this.trace!;
    return new Set(log.answer.filter((position) => log.went(position, layer, expert)));
  }

  private fillTable(counts: number[][]): void {
    const rows = counts.map((layer, index) => {
      const best = favourites(layer, 5).map(({ expert, count: uses }) => `${expert} (${uses < 10 ? +uses.toFixed(1) : Math.round(uses)})`);
      const head = element("th", "", String(index + 1));
      head.scope = "row";
      return element("tr", "", head, element("td", "", best.join(", ") || "none yet"));
    });
    byId("experts-table", HTMLElement).replaceChildren(...rows);
  }
}
