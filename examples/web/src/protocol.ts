/** What the page and its worker say to each other. */

import type { Check, CreateOptions, ErrorCode, Progress } from "./types.js";

/** Where a model lies, in a form that can be sent to a worker: a folder's URL, files, or the URL of the
 * bundled model's weights. */
export type Place = string | File[] | FileSystemDirectoryHandle | { demo: string };

/** The part of `CreateOptions` that can be sent. */
export type LoadSettings = Pick<
  CreateOptions,
  "context" | "quantize" | "cacheType" | "keep" | "headers" | "noF16" | "retune"
>;

/** What can be asked of the worker, with arguments and result. */
export interface Calls {
  load: { arguments: [place: Place, name: string, settings: LoadSettings]; result: void };
  chat: { arguments: [request: string, reply: ReplyIdentity]; result: void };
  complete: { arguments: [request: string, reply: ReplyIdentity]; result: void };
  tokenize: { arguments: [text: string]; result: Uint32Array };
  detokenize: { arguments: [tokens: number[]]; result: string };
  selfTest: { arguments: []; result: void };
  facts: { arguments: []; result: Facts };
  logits: {
    arguments: [place: Place, tokens: number[], settings: LoadSettings];
    result: { logits: Float32Array; vocabulary: number };
  };
  timeMatmul: {
    arguments: [rows: number, columns: number, format: string, repeats: number];
    result: number;
  };
}

export type Method = keyof Calls;

/** What tells a reply from others. */
export interface ReplyIdentity {
  id: string;
  /** Seconds since 1970. */
  created: number;
  /** Of the random numbers, unless the request names one. */
  seed: number;
}

/** What the worker knows of the device and of itself. */
export interface Facts {
  software: boolean;
  f16: boolean;
  subgroupSize: number;
  disabled: string[];
  bindingBytes: number;
  context: number;
  recoveries: number;
  heapBytes: number;
}

/** From the page. */
export type Request =
  | { [M in Method]: { id: number; method: M; arguments: Calls[M]["arguments"] } }[Method]
  | { abort: number };

/** Something to tell while a call is under way. */
export type Event =
  | { progress: Progress }
  | { notice: string }
  | { lost: string }
  | { reopened: true }
  | { chunk: unknown }
  | { check: Check };

/** From the worker. */
export type Answer =
  | { id: number; event: Event }
  | { id: number; result: Calls[Method]["result"] }
  | { id: number; error: { message: string; code: ErrorCode } };
