import type { Connection } from "./connection.js";
import type { Event, ReplyIdentity } from "./protocol.js";
import { ChunkStream } from "./stream.js";
import type {
  ChatCompletion,
  ChatCompletionChunk,
  ChatRequest,
  Completion,
  CompletionChunk,
  CompletionRequest,
  Stream,
  Timings,
} from "./types.js";

/** What belongs to a request besides its content. */
export interface RequestOptions {
  /** Ends the answer; it then fails with the signal's reason. */
  signal?: AbortSignal;
}

/** Told of what comes along with an answer. */
export interface Listener {
  /** The device went away or came back. */
  event(event: Event): void;
  /** An answer is over. */
  finished(timings: Timings): void;
}

type Method = "chat" | "complete";

function identity(): ReplyIdentity {
  const [seed] = crypto.getRandomValues(new Uint32Array(1));
  return {
    id: crypto.randomUUID(),
    created: Math.floor(Date.now() / 1000),
    seed: seed ?? 0,
  };
}

/** Sends requests of one kind and gives what OpenAI's client gives. */
class Requests<Request extends { stream?: boolean | null }, Whole, Chunk> {
  readonly #connection: Connection;
  readonly #listener: Listener;
  readonly #method: Method;

  constructor(connection: Connection, listener: Listener, method: Method) {
    this.#connection = connection;
    this.#listener = listener;
    this.#method = method;
  }

  /** Answers a request: a stream of chunks with `stream: true`, else the whole answer. */
  create(request: Request & { stream: true }, options?: RequestOptions): Promise<Stream<Chunk>>;
  create(request: Request & { stream?: false | null }, options?: RequestOptions): Promise<Whole>;
  create(request: Request, options?: RequestOptions): Promise<Whole | Stream<Chunk>>;
  async create(request: Request, options: RequestOptions = {}): Promise<Whole | Stream<Chunk>> {
    return request.stream ? this.#stream(request, options) : this.#whole(request, options);
  }

  async #whole(request: Request, { signal }: RequestOptions): Promise<Whole> {
    let whole: Whole | undefined;
    await this.#send(request, (chunk) => (whole = chunk as Whole), signal);
    return whole as Whole;
  }

  /** Resolves with the first chunk, so that a request that cannot be begun rejects. */
  #stream(request: Request, { signal }: RequestOptions): Promise<Stream<Chunk>> {
    const stopped = new AbortController();
    const stream = new ChunkStream<Chunk>(() => stopped.abort());
    const either = signal ? AbortSignal.any([signal, stopped.signal]) : stopped.signal;
    return new Promise((resolve, reject) => {
      const push = (chunk: unknown) => {
        stream.push(chunk as Chunk);
        resolve(stream);
      };
      this.#send(request, push, either).then(
        () => {
          stream.end();
          resolve(stream);
        },
        (reason) => {
          stream.fail(reason);
          reject(reason);
        },
      );
    });
  }

  async #send(request: Request, take: (chunk: unknown) => void, signal?: AbortSignal) {
    const tell = (event: Event) => {
      if (!("chunk" in event)) return this.#listener.event(event);
      const { timings } = event.chunk as Partial<ChatCompletion>;
      if (timings) this.#listener.finished(timings);
      take(event.chunk);
    };
    const given: [string, ReplyIdentity] = [JSON.stringify(request), identity()];
    await this.#connection.call(this.#method, given, { tell, signal });
  }
}

/** `engine.chat.completions`. */
export class ChatCompletions extends Requests<ChatRequest, ChatCompletion, ChatCompletionChunk> {}

/** `engine.completions`. */
export class Completions extends Requests<CompletionRequest, Completion, CompletionChunk> {}
