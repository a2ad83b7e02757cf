/** What the package's functions take and give. Types only. */

/**
 * Where a model lies: `"demo"` for the bundled one, the URL of a GGUF file or of a folder in Hugging Face layout,
 * or files of the user's own disk (`<input type="file" multiple>`, a folder chosen with
 * `webkitdirectory`, or `showDirectoryPicker()`).
 */
export type ModelSource = string | URL | FileList | readonly File[] | FileSystemDirectoryHandle;

/** How far loading has come. */
export interface Progress {
  /**
   * `download`: bytes that came from the network or from where they were kept; `verify`: bytes whose
   * SHA-256 was compared; `upload`: bytes that are on the GPU; `compile`: kernels made ready.
   */
  phase: "download" | "verify" | "upload" | "compile";
  /** Bytes so far; of `compile`, 0 or 1. */
  loaded: number;
  /** Bytes in all; of `compile`, 1. */
  total: number;
}

/** How weights can be stored on the GPU: as numbers, in FP8, or in one of GGUF's block types. */
export type WeightFormat =
  | "f32"
  | "f16"
  | "bf16"
  | "f8_e4m3"
  | "f8_e4m3_32"
  | "q8_0"
  | "q5_1"
  | "q5_0"
  | "q4_1"
  | "q4_0"
  | "q6_k"
  | "q5_k"
  | "q4_k"
  | "q3_k"
  | "q2_k"
  | "iq4_nl"
  | "iq4_xs"
  | "mxfp4";

/** How a model is loaded. */
export interface CreateOptions {
  /** Told how far loading has come. */
  onProgress?: (progress: Progress) => void;
  /** Told, in a sentence, what a user should know and what is no failure: a retry, no room to keep files. */
  onNotice?: (sentence: string) => void;
  /** Ends the loading; `create` then rejects with its reason. */
  signal?: AbortSignal;
  /** Tokens that a conversation may have; what the model allows, but at most 8192, unless given. */
  context?: number;
  /** What projections are packed into on loading; as stored unless given. */
  quantize?: WeightFormat;
  /** How the cache stores what attention keeps of every token; less memory the less exact. Default "f32". */
  cacheType?: "f32" | "f16" | "q8_0";
  /** Whether files from the network are kept on this device for the next time. Default true. */
  keep?: boolean;
  /** Sent with every request for the model's files, `Authorization` for example. */
  headers?: Record<string, string>;
  /** Leave 16-bit floats unused. */
  noF16?: boolean;
  /** Measure again which sizes of workgroups suit the GPU; else that is done once, in up to 2 seconds, if `keep` is not false. */
  retune?: boolean;
}

/** The adapter that the browser gives. */
export interface Adapter {
  /** What to call it: the browser's description, else vendor and architecture. */
  name: string;
  /** Its maker, as far as the browser tells. */
  vendor: string;
  /** Its family, as far as the browser tells. */
  architecture: string;
  /** Whether it is a processor that pretends to be a GPU, and so slow. */
  software: boolean;
  /** Whether shaders use 16-bit floats. */
  f16: boolean;
  /** Lanes of a subgroup; 0 where subgroups are not used. */
  subgroupSize: number;
  /** A sentence for each feature that is left unused because it computes wrong results. */
  disabled: string[];
  /** Most bytes of one storage binding. */
  bindingBytes: number;
}

/** Whether models can run here; `reason` says in words why not. */
export type Support =
  | { supported: true; adapter: Pick<Adapter, "name" | "vendor" | "architecture" | "software"> }
  | { supported: false; reason: string };

/** One turn of a conversation. */
export interface ChatMessage {
  role: "system" | "developer" | "user" | "assistant" | "tool";
  content?: string | { type: "text"; text: string }[] | null;
  /** What an assistant thought before it. */
  reasoning_content?: string | null;
  /** The tools that an assistant called. */
  tool_calls?: ToolCall[];
  /** The call whose result a tool's message is. */
  tool_call_id?: string;
  /** Of a last message, an assistant's: the answer goes on where it stops. */
  prefix?: boolean;
}

/** A function that the model may call. */
export interface Tool {
  type: "function";
  function: {
    name: string;
    description?: string;
    /** The JSON schema of its arguments. */
    parameters?: Record<string, unknown>;
  };
}

/** A tool that the model wants to use. */
export interface ToolCall {
  id: string;
  type: "function";
  function: {
    name: string;
    /** A JSON object, as text. */
    arguments: string;
  };
}

/** How an answer is generated; what is left out is as the model's own files recommend. */
export interface SamplingOptions {
  temperature?: number | null;
  top_p?: number | null;
  top_k?: number | null;
  min_p?: number | null;
  repetition_penalty?: number | null;
  frequency_penalty?: number | null;
  presence_penalty?: number | null;
  /** What is added to the scores of tokens, by their ids. */
  logit_bias?: Record<string, number> | null;
  /** How many answers; they come one after another. */
  n?: number | null;
  seed?: number | null;
  max_tokens?: number | null;
  max_completion_tokens?: number | null;
  min_tokens?: number | null;
  stop?: string | string[] | null;
  stream_options?: { include_usage?: boolean } | null;
  /** Report the experts that every token goes to, in `experts` of the chunks. */
  experts?: boolean;
}

/** A conversation to answer. */
export interface ChatRequest extends SamplingOptions {
  messages: ChatMessage[];
  tools?: Tool[] | null;
  /** Whether tools may be called; none can be forced in a browser. */
  tool_choice?: "none" | "auto" | null;
  /** Whether the model thinks, and for how many tokens at most. */
  thinking?: { type: "enabled" | "disabled"; budget_tokens?: number } | null;
  reasoning_effort?: string | null;
  logprobs?: boolean | null;
  /** How many of the best tokens are told beside each, up to 20. */
  top_logprobs?: number | null;
  /** Ignored: an engine has one model. */
  model?: string;
  stream?: boolean | null;
}

/** A text to continue as it is, without the chat template. */
export interface CompletionRequest extends SamplingOptions {
  prompt: string | number[] | string[] | number[][];
  /** Whether the prompt is part of the reply. */
  echo?: boolean | null;
  /** What follows the text that the model fills in, if it was made for that. */
  suffix?: string | null;
  /** How many of the best tokens are told beside each, up to 20. */
  logprobs?: number | null;
  model?: string;
  stream?: boolean | null;
}

export type FinishReason = "stop" | "length" | "tool_calls";

/** A token and how likely it was. */
export interface TokenLogprob {
  token: string;
  logprob: number;
  bytes: number[];
}

/** How likely the tokens of both parts of an answer were. */
export interface ChatLogprobs {
  content: (TokenLogprob & { top_logprobs: TokenLogprob[] })[];
  reasoning_content: (TokenLogprob & { top_logprobs: TokenLogprob[] })[] | null;
}

/** How likely the tokens of a text were. */
export interface TextLogprobs {
  tokens: string[];
  token_logprobs: (number | null)[];
  top_logprobs: (Record<string, number> | null)[];
  /** Where in the text each begins, in characters. */
  text_offset: number[];
}

/** Token counts, as OpenAI and DeepSeek report them. */
export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
  prompt_cache_hit_tokens: number;
  prompt_cache_miss_tokens: number;
  prompt_tokens_details: { cached_tokens: number };
  completion_tokens_details: { reasoning_tokens: number };
}

/** How long an answer took, in milliseconds. */
export interface Timings {
  prompt_tokens: number;
  completion_tokens: number;
  prefill_ms: number;
  prefill_tokens_per_second: number;
  decode_ms: number;
  decode_tokens_per_second: number;
}

/** The experts of some tokens: of the prompt, or of one generated token as it was read. */
export interface Experts {
  /** The position of the first of them in the conversation. */
  position: number;
  /** `layers[l][t]`: the experts of token `position + t` in layer `l` of those that have experts, best first. */
  layers: number[][][];
}

/** A piece of a streamed chat answer. */
export interface ChatCompletionChunk {
  id: string;
  object: "chat.completion.chunk";
  created: number;
  model: string;
  choices: {
    index: number;
    delta: {
      role?: "assistant";
      content?: string;
      reasoning_content?: string;
      tool_calls?: (ToolCall & { index: number })[];
    };
    finish_reason: FinishReason | null;
    logprobs: ChatLogprobs | null;
  }[];
  usage?: Usage | null;
  timings?: Timings;
  experts?: Experts;
}

/** A whole chat answer. */
export interface ChatCompletion {
  id: string;
  object: "chat.completion";
  created: number;
  model: string;
  choices: {
    index: number;
    message: {
      role: "assistant";
      /** Null if it does nothing but call tools. */
      content: string | null;
      reasoning_content: string | null;
      tool_calls?: ToolCall[];
    };
    finish_reason: FinishReason;
    logprobs: ChatLogprobs | null;
  }[];
  usage: Usage;
  timings: Timings;
  /** The ids that were generated, of the first choice. */
  tokens: number[];
}

/** A piece of a streamed continuation. */
export interface CompletionChunk {
  id: string;
  object: "text_completion";
  created: number;
  model: string;
  choices: { index: number; text: string; finish_reason: FinishReason | null; logprobs: TextLogprobs | null }[];
  usage?: Usage | null;
  timings?: Timings;
  experts?: Experts;
}

/** A whole continuation. */
export interface Completion {
  id: string;
  object: "text_completion";
  created: number;
  model: string;
  choices: { index: number; text: string; finish_reason: FinishReason; logprobs: TextLogprobs | null }[];
  usage: Usage;
  timings: Timings;
  tokens: number[];
}

/** Chunks in order. Leaving the loop, or `abort()`, stops the answer. */
export interface Stream<Chunk> extends AsyncIterable<Chunk> {
  /** Stops the answer; the loop over the chunks ends. */
  abort(): void;
}

/** The result of one kernel next to the plain Rust reference. */
export interface Check {
  kernel: string;
  /** The format of the weight that it read, if it read one. */
  format: string | null;
  /** The worst deviation, relative to the largest expected value; null if it did not run. */
  error: number | null;
  /** The largest deviation that rounding explains. */
  tolerance: number;
  passed: boolean;
  /** What the browser said, if the kernel did not run. */
  fault: string | null;
}

/** The state of an engine. */
export interface Stats {
  /** Bytes of the WebAssembly memory, which never shrinks: the most so far. */
  heapBytes: number;
  /** Tokens that a conversation may have. */
  context: number;
  /** Answers so far, and the tokens in them. */
  answers: number;
  promptTokens: number;
  completionTokens: number;
  /** Devices that were lost and opened again. */
  recoveries: number;
}

/** A model whose files are kept on this device. */
export interface KeptModel {
  /** The URL that it was loaded from. */
  url: string;
  /** Bytes that are kept. */
  bytes: number;
}

/** What an engine's failures are called. */
export type ErrorCode =
  | "usage"
  | "context_length_exceeded"
  | "not_found"
  | "damaged"
  | "unsupported"
  | "no_adapter"
  | "does_not_fit"
  | "device_lost"
  | "non_finite"
  | "template"
  | "network"
  | "authorization"
  | "changed"
  | "wrong_hash"
  | "unloaded"
  | "internal";
