/** How fast, how many, how much. */

import type { Stats, Timings, Usage } from "../src/types.js";
import { byId, describe } from "./dom.js";
import { bytes, count, counted, duration, rate } from "./format.js";

/** The live rate is that of the last so many milliseconds. */
const WINDOW = 2000;

/** Tokens per second while an answer comes, in `#rate`. */
export class RateMeter {
  private readonly shown = byId("rate", HTMLOutputElement);
  private readonly times: number[] = [];
  private tokens = 0;

  constructor() {
    this.shown.value = "reading…";
  }

  tick(): void {
    const now = performance.now();
    this.tokens++;
    this.times.push(now);
    while (this.times.length > 2 && this.times[0]! < now - WINDOW) this.times.shift();
    const perSecond = ((this.times.length - 1) * 1000) / (now - this.times[0]!);
    this.shown.value = Number.isFinite(perSecond) ? `${rate(perSecond)} tokens/s · ${counted(this.tokens, "token")}` : "";
  }

  end(timings: Timings | null): void {
    this.shown.value = timings ? `${rate(timings.decode_tokens_per_second)} tokens/s` : "";
  }
}

/** The figures of the last answer and of the engine. */
export function showFigures(usage: Usage | null, timings: Timings | null, stats: Stats): void {
  const pairs: [string, string][] = [];
  if (timings) {
    pairs.push(["decode, tokens/s", rate(timings.decode_tokens_per_second)]);
    pairs.push(["prefill, tokens/s", rate(timings.prefill_tokens_per_second)]);
    pairs.push(["until the first token", duration(timings.prefill_ms)]);
  }
  if (usage) {
    pairs.push(["tokens of the answer", count(usage.completion_tokens)]);
    pairs.push(["of them thinking", count(usage.completion_tokens_details.reasoning_tokens)]);
    pairs.push(["tokens of the prompt", count(usage.prompt_tokens)]);
    pairs.push(["of them cached", count(usage.prompt_cache_hit_tokens)]);
  }
  pairs.push(["context, tokens used", `${count(usage?.total_tokens ?? 0)} of ${count(stats.context)}`]);
  pairs.push(["answers so far", count(stats.answers)]);
  pairs.push(["WebAssembly memory", bytes(stats.heapBytes)]);
  if (stats.recoveries > 0) pairs.push(["devices lost and reopened", count(stats.recoveries)]);
  describe(byId("figures", HTMLElement), pairs);
}
