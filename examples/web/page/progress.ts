/** How far loading has come: a bar, bytes, rate and time left of each phase. */

import type { Progress } from "../src/types.js";
import { byId, element } from "./dom.js";
import { bytes, duration } from "./format.js";

const NAMES: Record<Progress["phase"], string> = {
  download: "Download",
  verify: "Check of hashes",
  upload: "Upload to the GPU",
  compile: "Preparing kernels",
};
/** The rate is that of the last so many milliseconds. */
const WINDOW = 5000;

class Phase {
  readonly row: HTMLElement;
  private readonly bar = element("progress");
  private readonly amount = element("span", "amount");
  private readonly samples: { time: number; loaded: number }[] = [];

  constructor(name: string) {
    this.bar.setAttribute("aria-label", name);
    this.row = element("div", "phase", element("span", "name", name), this.amount, this.bar);
  }

  set(loaded: number, total: number): void {
    const time = performance.now();
    this.samples.push({ time, loaded });
    while (this.samples.length > 2 && this.samples[0]!.time < time - WINDOW) this.samples.shift();
    this.bar.max = total;
    this.bar.value = loaded;
    this.amount.textContent = loaded >= total ? `${bytes(total)}, done` : this.underWay(loaded, total);
  }

  /** Of a phase that takes a while but has no measure. */
  setDone(done: boolean): void {
    if (done) this.bar.value = 1;
    this.amount.textContent = done ? "done" : "";
  }

  private underWay(loaded: number, total: number): string {
    const text = `${bytes(loaded)} of ${bytes(total)}`;
    const first = this.samples[0]!;
    const last = this.samples.at(-1)!;
    const perMillisecond = (last.loaded - first.loaded) / (last.time - first.time);
    if (!(perMillisecond > 0 && last.time - first.time > 300)) return text;
    return `${text} · ${bytes(perMillisecond * 1000)}/s · ${duration((total - loaded) / perMillisecond)} left`;
  }
}

/** The bars of one loading, in `#progress`. */
export class ProgressView {
  private readonly box = byId("progress", HTMLElement);
  private readonly phases = new Map<Progress["phase"], Phase>();

  constructor() {
    this.box.replaceChildren();
  }

  set({ phase, loaded, total }: Progress): void {
    let shown = this.phases.get(phase);
    if (!shown) {
      shown = new Phase(NAMES[phase]);
      this.phases.set(phase, shown);
      this.box.append(shown.row);
    }
    if (phase === "compile") shown.setDone(loaded >= total);
    else shown.set(loaded, total);
  }
}
