import type { Progress } from "../types.js";

type Phase = "download" | "verify";

/** Adds up how far the chunks of all files have come. */
export class Tally {
  private readonly progress = {
    download: { loaded: 0, total: 0 },
    verify: { loaded: 0, total: 0 },
  };
  private readonly counted = new Set<string>();

  constructor(private readonly tell: (progress: Progress) => void) {}

  /** Says that `bytes` more are to come. */
  expect(phase: Phase, bytes: number): void {
    if (bytes > 0) {
      this.progress[phase].total += bytes;
      this.emit(phase);
    }
  }

  /** Says that a chunk of a file has come; when it comes again, that counts for nothing. */
  count(phase: Phase, file: string, index: number, bytes: number): void {
    const key = `${phase} ${index} ${file}`;
    if (this.counted.has(key)) {
      return;
    }
    this.counted.add(key);
    const progress = this.progress[phase];
    progress.loaded += bytes;
    progress.total = Math.max(progress.total, progress.loaded);
    this.emit(phase);
  }

  private emit(phase: Phase): void {
    this.tell({ phase, ...this.progress[phase] });
  }
}
