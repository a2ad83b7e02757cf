import type { Stream } from "./types.js";

/** Chunks that come when they come, read in order by one loop. */
export class ChunkStream<Chunk> implements Stream<Chunk> {
  readonly #chunks: Chunk[] = [];
  readonly #stop: () => void;
  #over = false;
  #failure?: { reason: unknown };
  #wake?: () => void;

  /** `stop` is called when nobody wants the rest. */
  constructor(stop: () => void) {
    this.#stop = stop;
  }

  abort() {
    if (this.#over) return;
    this.end();
    this.#stop();
  }

  /** Adds a chunk. */
  push(chunk: Chunk) {
    if (!this.#over) this.#chunks.push(chunk);
    this.#wake?.();
  }

  /** No chunk comes any more. */
  end() {
    this.#over = true;
    this.#wake?.();
  }

  /** The loop over the chunks throws `reason` after the chunks so far. */
  fail(reason: unknown) {
    if (!this.#over) this.#failure = { reason };
    this.end();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Chunk, void, undefined> {
    try {
      while (true) {
        while (this.#chunks.length > 0) yield this.#chunks.shift() as Chunk;
        if (this.#failure) throw this.#failure.reason;
        if (this.#over) return;
        await new Promise<void>((resolve) => (this.#wake = resolve));
      }
    } finally {
      // Leaving the loop early stops the answer.
      this.abort();
    }
  }
}
