/** The dedicated worker: owns the WebAssembly module and the GPU. Calls run one after the other. */

import { openLearnt } from "./learnt.js";
import { openPlace, type WatchedSource } from "./place.js";
import type { Answer, Calls, Event, Facts, Method, ReplyIdentity, Request } from "./protocol.js";
import type { ErrorCode, Progress } from "./types.js";
import initialise, { logits, Model, time_matmul } from "./wasm/tiefsee.js";

const scope = self as unknown as {
  onmessage: (message: MessageEvent<Request>) => void;
  postMessage(answer: Answer, transfer?: Transferable[]): void;
};

/** A call under way or waiting. */
interface Call {
  tell(event: Event): void;
  signal: AbortSignal;
}

let wasm: Promise<{ memory: WebAssembly.Memory }> | undefined;
let model: Model | undefined;
let source: WatchedSource | undefined;
/** Set when the module is broken for good. */
let dead: string | undefined;

function loadedModel(): Model {
  if (!model) throw new Error("no model is loaded");
  return model;
}

/** Who reads a reply, as the WebAssembly module knows it. */
function client(call: Call, reply: ReplyIdentity, wrap: (object: never) => Event) {
  return {
    ...reply,
    send: (json: string) => call.tell(wrap(JSON.parse(json) as never)),
    get stopped() {
      return call.signal.aborted;
    },
  };
}

const NOBODY: ReplyIdentity = { id: "", created: 0, seed: 0 };

/** The objects of a reply, and what else is said meanwhile. */
function replyEvent(object: { lost?: string; reopened?: true }): Event {
  if (object.lost !== undefined) return { lost: object.lost };
  return object.reopened ? { reopened: true } : { chunk: object };
}

function progressOf(call: Call) {
  return (phase: Progress["phase"], loaded: number, total: number) =>
    call.tell({ progress: { phase, loaded, total } });
}

const methods: {
  [M in Method]: (
    call: Call,
    ...given: Calls[M]["arguments"]
  ) => Calls[M]["result"] | Promise<Calls[M]["result"]>;
} = {
  async load(call, place, name, settings) {
    source = openPlace(place, settings, call);
    await source.prepare();
    const learnt = settings.keep === false ? undefined : await openLearnt();
    model = await Model.load(source, name, JSON.stringify(settings), progressOf(call), learnt);
  },
  chat(call, request, reply) {
    return loadedModel().chat(request, client(call, reply, replyEvent));
  },
  complete(call, request, reply) {
    return loadedModel().complete(request, client(call, reply, replyEvent));
  },
  tokenize: (_call, text) => loadedModel().tokenize(text),
  detokenize: (_call, tokens) => loadedModel().detokenize(Uint32Array.from(tokens)),
  selfTest(call) {
    return loadedModel().self_test(client(call, NOBODY, (check) => ({ check })));
  },
  async facts(): Promise<Facts> {
    const { memory } = await ready();
    const facts = JSON.parse(loadedModel().facts()) as Omit<Facts, "heapBytes">;
    return { ...facts, heapBytes: memory.buffer.byteLength };
  },
  async logits(call, place, tokens, settings) {
    source = openPlace(place, settings, call);
    await source.prepare();
    const ids = Uint32Array.from(tokens);
    const result = await logits(source, ids, JSON.stringify(settings), progressOf(call));
    return result as Calls["logits"]["result"];
  },
  timeMatmul: (_call, rows, columns, format, repeats) =>
    time_matmul(rows, columns, format, repeats),
};

function ready() {
  wasm ??= initialise();
  return wasm;
}

async function run(request: Extract<Request, { id: number }>, signal: AbortSignal) {
  const { id, method } = request;
  try {
    signal.throwIfAborted();
    if (dead) throw new Error(dead);
    await ready();
    source?.forgive();
    const call: Call = { signal, tell: (event) => scope.postMessage({ id, event }) };
    const perform = methods[method] as (call: Call, ...given: unknown[]) => unknown;
    const result = (await perform(call, ...request.arguments)) as Calls[Method]["result"];
    scope.postMessage({ id, result });
  } catch (thrown) {
    scope.postMessage({ id, error: describe(source?.failure ?? thrown) });
  }
}

function describe(thrown: unknown): { message: string; code: ErrorCode } {
  if (thrown instanceof WebAssembly.RuntimeError) {
    // After a panic nothing in the module's memory can be trusted.
    dead = `tiefsee failed and has to be loaded again (${thrown.message}; the console says where)`;
    return { message: dead, code: "internal" };
  }
  const { message = String(thrown), code } = thrown as { message?: string; code?: unknown };
  return { message, code: typeof code === "string" ? (code as ErrorCode) : "internal" };
}

const aborts = new Map<number, AbortController>();
let queue: Promise<void> = Promise.resolve();

scope.onmessage = ({ data }) => {
  if ("abort" in data) {
    aborts.get(data.abort)?.abort();
    return;
  }
  const abort = new AbortController();
  aborts.set(data.id, abort);
  queue = queue.then(() => run(data, abort.signal)).then(() => void aborts.delete(data.id));
};
