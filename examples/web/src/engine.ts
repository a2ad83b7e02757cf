import { ChatCompletions, Completions, type Listener } from "./completions.js";
import { Connection } from "./connection.js";
import { TiefseeError } from "./errors.js";
import type { Event, LoadSettings, Place } from "./protocol.js";
import { forgetKept, listKept } from "./source/store.js";
import { decoded } from "./source/url.js";
import { type AdapterNames, isSupported } from "./support.js";
import type {
  Adapter,
  Check,
  CreateOptions,
  KeptModel,
  ModelSource,
  Stats,
  Support,
} from "./types.js";

/** What comes with the events `devicelost` and `devicerecovered`. */
export interface DeviceEventDetail {
  message: string;
}

/** A loaded model in a worker of its own. */
export class Engine extends EventTarget {
  /** What the model is called. */
  readonly model: string;
  /** The adapter that it runs on, and which of its features are used. */
  readonly adapter: Adapter;
  /** `chat.completions.create`, as OpenAI's client has it. */
  readonly chat: { readonly completions: ChatCompletions };
  /** `completions.create`: texts continued as they are. */
  readonly completions: Completions;
  readonly #connection: Connection;
  readonly #counts = { answers: 0, promptTokens: 0, completionTokens: 0 };

  private constructor(model: string, adapter: Adapter, connection: Connection) {
    super();
    this.model = model;
    this.adapter = adapter;
    this.#connection = connection;
    const listener: Listener = {
      event: (event) => this.#tell(event),
      finished: ({ prompt_tokens, completion_tokens }) => {
        this.#counts.answers += 1;
        this.#counts.promptTokens += prompt_tokens;
        this.#counts.completionTokens += completion_tokens;
      },
    };
    this.chat = { completions: new ChatCompletions(connection, listener, "chat") };
    this.completions = new Completions(connection, listener, "complete");
  }

  /** Whether models can run in this browser, and if not, why not. */
  static isSupported(): Promise<Support> {
    return isSupported();
  }

  /** Loads a model. Rejects with a `TiefseeError`, or with the signal's reason. */
  static async create(model: ModelSource, options: CreateOptions = {}): Promise<Engine> {
    const names = await usableAdapter();
    const name = nameOf(model);
    const connection = new Connection();
    try {
      if (options.keep !== false) askToKeep();
      await connection.call("load", [placeOf(model), name, settingsOf(options)], listening(options));
      const { context, heapBytes, recoveries, ...facts } = await connection.call("facts", []);
      return new Engine(name, { ...names, ...facts }, connection);
    } catch (error) {
      connection.close(new TiefseeError("the model could not be loaded", "unloaded"));
      throw error;
    }
  }

  /** The raw scores of tokens, a row of `vocabulary` per token: for comparing with other implementations. */
  static async logits(
    model: ModelSource,
    tokens: readonly number[],
    options: CreateOptions = {},
  ): Promise<{ logits: Float32Array; vocabulary: number }> {
    await usableAdapter();
    return once((connection) =>
      connection.call(
        "logits",
        [placeOf(model), [...tokens], settingsOf(options)],
        listening(options),
      ),
    );
  }

  /** Milliseconds of a product of a matrix with a vector, `repeats` of them run at once: for comparing. */
  static timeMatmul(size: {
    rows: number;
    columns: number;
    format: NonNullable<CreateOptions["quantize"]>;
    repeats: number;
  }): Promise<number> {
    const { rows, columns, format, repeats } = size;
    return once((connection) => connection.call("timeMatmul", [rows, columns, format, repeats]));
  }

  /** The models whose files are kept on this device. */
  static kept(): Promise<KeptModel[]> {
    return listKept();
  }

  /** Deletes the kept files of the model from `url`, or of all models. */
  static forget(url?: string): Promise<void> {
    return forgetKept(url);
  }

  /** The ids of a text, with special tokens where it writes them. */
  async tokenize(text: string): Promise<number[]> {
    return [...(await this.#connection.call("tokenize", [text]))];
  }

  /** The text of ids. */
  detokenize(tokens: readonly number[]): Promise<string> {
    return this.#connection.call("detokenize", [[...tokens]]);
  }

  /** Runs every kernel in every weight format and compares with plain Rust; `onCheck` is told of each. */
  async selfTest(onCheck?: (check: Check) => void): Promise<Check[]> {
    const checks: Check[] = [];
    const tell = (event: Event) => {
      if (!("check" in event)) return;
      checks.push(event.check);
      onCheck?.(event.check);
    };
    await this.#connection.call("selfTest", [], { tell });
    return checks;
  }

  /** What the engine has done, and what it takes. */
  async stats(): Promise<Stats> {
    const { heapBytes, context, recoveries } = await this.#connection.call("facts", []);
    return { heapBytes, context, recoveries, ...this.#counts };
  }

  /** Gives worker, GPU and memory back. Answers under way fail with the code `unloaded`. */
  async unload(): Promise<void> {
    this.#connection.close(new TiefseeError("the model was unloaded", "unloaded"));
  }

  #tell(event: Event) {
    const device = (name: string, message: string) =>
      this.dispatchEvent(new CustomEvent<DeviceEventDetail>(name, { detail: { message } }));
    if ("lost" in event) device("devicelost", `the GPU was lost (${event.lost}) and is opened again`);
    if ("reopened" in event) device("devicerecovered", "the GPU is back, and the answer goes on");
  }
}

async function usableAdapter(): Promise<AdapterNames> {
  const support = await isSupported();
  if (!support.supported) throw new TiefseeError(support.reason, "no_adapter");
  return support.adapter;
}

/** A call to a worker of its own. */
async function once<T>(call: (connection: Connection) => Promise<T>): Promise<T> {
  const connection = new Connection();
  try {
    return await call(connection);
  } finally {
    connection.close(new TiefseeError("the work is done", "unloaded"));
  }
}

function listening({ onProgress, onNotice, signal }: CreateOptions) {
  const tell = (event: Event) => {
    if ("progress" in event) onProgress?.(event.progress);
    if ("notice" in event) onNotice?.(event.notice);
  };
  return { tell, signal };
}

function settingsOf(options: CreateOptions): LoadSettings {
  const { context, quantize, cacheType, keep, headers, noF16, retune } = options;
  return { context, quantize, cacheType, keep, headers, noF16, retune };
}

/**
 * Without this the browser may delete kept files when the disk fills up. Nobody waits for the answer: some
 * browsers ask the user. A refusal is no failure.
 */
function askToKeep() {
  // A frame of another origin may not ask.
  navigator.storage?.persist?.().catch(() => {});
}

function placeOf(model: ModelSource): Place {
  if (model === "demo") {
    // Bundlers look for this very expression.
    return { demo: new URL("./demo/model.safetensors", import.meta.url).href };
  }
  if (typeof model === "string" || model instanceof URL) {
    return urlOf(model).href;
  }
  return "getFileHandle" in model ? model : Array.from(model);
}

/** The last part of where the model lies. */
function nameOf(model: ModelSource): string {
  if (model === "demo") return model;
  if (typeof model === "string" || model instanceof URL) {
    const { pathname, host } = urlOf(model);
    return decoded(pathname.split("/").filter(Boolean).pop() ?? host);
  }
  if ("getFileHandle" in model) return model.name;
  const path = Array.from(model, (file) => file.webkitRelativePath).find(Boolean);
  return path?.split("/")[0] ?? "files";
}

function urlOf(model: string | URL): URL {
  try {
    return new URL(model, document.baseURI);
  } catch {
    throw new TiefseeError(`${model} is no URL of a model's folder`, "usage");
  }
}
