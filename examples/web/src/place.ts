import { DemoSource } from "./demo.js";
import type { Event, LoadSettings, Place } from "./protocol.js";
import { openSource, type Source } from "./source/source.js";

/**
 * A source that remembers why it failed: the error that comes back through WebAssembly has lost its code.
 */
export class WatchedSource implements Source {
  /** The first failure since the last call began. */
  failure: unknown;
  readonly #source: Source;

  constructor(source: Source) {
    this.#source = source;
  }

  get name(): string {
    return this.#source.name;
  }

  get modelFile(): string | undefined {
    return this.#source.modelFile;
  }

  prepare(): Promise<void> {
    return this.#watch(this.#source.prepare?.() ?? Promise.resolve());
  }

  /** Forgets the failure of an earlier call. */
  forgive() {
    this.failure = undefined;
  }

  size(file: string): Promise<number | undefined> {
    return this.#watch(this.#source.size(file));
  }

  read(file: string, start: number, end: number): Promise<Uint8Array> {
    return this.#watch(this.#source.read(file, start, end));
  }

  async #watch<T>(result: Promise<T>): Promise<T> {
    try {
      return await result;
    } catch (error) {
      this.failure ??= error;
      throw error;
    }
  }
}

/** The files at `place`; whoever asked is told how far they are. */
export function openPlace(
  place: Place,
  { keep, headers }: LoadSettings,
  { tell, signal }: { tell(event: Event): void; signal: AbortSignal },
): WatchedSource {
  const options = { keep, headers, signal };
  const events = {
    onProgress: (progress: Extract<Event, { progress: unknown }>["progress"]) => tell({ progress }),
    onNotice: (notice: string) => tell({ notice }),
  };
  const source =
    typeof place === "object" && "demo" in place
      ? new DemoSource(place.demo, options, events)
      : openSource(place, options, events);
  return new WatchedSource(source);
}
