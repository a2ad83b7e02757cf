import { DEMO_FILES, DEMO_WEIGHTS } from "./demo-files.js";
import { openSource, type Source, type SourceEvents, type SourceOptions } from "./source/source.js";

const WEIGHTS = "model.safetensors";

/**
 * The bundled model. Its weights are a file beside the package; the small files are part of the package,
 * so that a bundler has one file to carry along, which may be called anything.
 */
export class DemoSource implements Source {
  readonly name = "demo";
  readonly #weights: Source;
  readonly #file: string;

  /** `weights` is where the weights are. */
  constructor(weights: string, options: SourceOptions, events: SourceEvents) {
    const url = new URL(weights);
    this.#file = decodeURIComponent(url.pathname.split("/").pop() ?? WEIGHTS);
    const manifest = JSON.stringify({ ...DEMO_WEIGHTS, files: { [this.#file]: DEMO_WEIGHTS.file } });
    this.#weights = openSource(new URL(".", url).href, { ...options, manifest }, events);
  }

  async size(file: string): Promise<number | undefined> {
    return file === WEIGHTS ? this.#weights.size(this.#file) : DEMO_FILES.get(file)?.length;
  }

  async read(file: string, start: number, end: number): Promise<Uint8Array> {
    if (file === WEIGHTS) return this.#weights.read(this.#file, start, end);
    return DEMO_FILES.get(file)?.subarray(start, end) ?? new Uint8Array();
  }
}
