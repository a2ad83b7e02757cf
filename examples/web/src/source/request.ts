import {
  changed,
  checkSame,
  Dropped,
  dropped,
  isThere,
  type Seen,
  seenIn,
  sentRange,
  type Target,
  Unreachable,
} from "./answer.js";
import type { Bytes } from "./bytes.js";
import { SourceError } from "./error.js";

const TRIES = 6;

/** How requests are made. */
export interface RequestOptions {
  headers: Headers;
  signal: AbortSignal;
  retryDelay: number;
  stallTimeout: number;
  onNotice: (sentence: string) => void;
}

/** An answer to a request for a range of a file. */
export interface Part {
  seen: Seen;
  /** The bytes; undefined when the server sends nothing but whole files, and this one is larger. */
  bytes?: Bytes;
}

/** How a range is asked for. */
export interface RangeOptions {
  cache: RequestCache;
  /** What is known of the file; an answer that contradicts it is a `changed` error. */
  known?: Seen | undefined;
  /** How often to try. */
  tries?: number | undefined;
}

type Use<T> = (response: Response, pieces: AsyncIterable<Bytes>) => Promise<T>;

/** Makes requests, and makes them again while there is hope. */
export class Requests {
  constructor(private readonly options: RequestOptions) {}

  /** The bytes of a file from `start` to before `end`, or to its end; undefined when there is no such file. */
  async range(target: Target, start: number, end: number, how: RangeOptions): Promise<Part | undefined> {
    const bytes = new Uint8Array(end - start);
    // What came before a connection dropped stays, as long as the file is the same.
    let at = start;
    let known = how.known;

    const use: Use<Part | "more"> = async (response, pieces) => {
      const seen = seenIn(response);
      const isWhole = response.status === 200;
      const isUsable = !isWhole || (start === 0 && (seen.size ?? 0) <= end);
      // The length of a whole file may be that of its compressed form: then its bytes are counted.
      checkSame(target, known, isWhole && isUsable ? { ...seen, size: undefined } : seen);
      known ??= seen;
      if (!isUsable) {
        return { seen };
      }
      if (response.status === 416) {
        // Where even the first byte is beyond the end, there is none.
        if (at > 0 || how.known) {
          throw changed(target);
        }
        return { seen: { ...seen, size: 0 }, bytes: new Uint8Array() };
      }
      const sent = sentRange(response, isWhole ? 0 : at);
      if (isWhole) {
        at = 0;
      } else if (sent.start !== at) {
        throw new Dropped(`the server sent other bytes than it was asked for, those from ${sent.start} on`);
      }
      for await (const piece of pieces) {
        if (at + piece.length > end) {
          if (isWhole) {
            return { seen: { ...seen, size: undefined } };
          }
          throw new Dropped("the server sent more bytes than it was asked for");
        }
        bytes.set(piece, at - start);
        at += piece.length;
      }
      if (sent.end !== undefined && at < sent.end) {
        throw dropped(at);
      }
      const size = isWhole ? at : seen.size;
      checkSame(target, how.known, { size });
      if (at === end || at === size || (size === undefined && how.known?.size === undefined)) {
        const isAll = at === end;
        return {
          seen: { ...seen, size: size ?? (isAll ? undefined : at) },
          bytes: isAll ? bytes : bytes.slice(0, at - start),
        };
      }
      // Servers may send less than they are asked for.
      if (at === sent.start) {
        throw dropped(at);
      }
      return "more";
    };

    for (;;) {
      const part = await this.retry(target, how.tries ?? TRIES, () =>
        this.attempt(target, { cache: how.cache, headers: { Range: `bytes=${at}-${end - 1}` } }, () => at, use),
      );
      if (part !== "more") {
        return part;
      }
    }
  }

  /** The size of a file, of a server that does not tell it beside a range; undefined if it tells it nowhere. */
  async size(target: Target): Promise<number | undefined> {
    try {
      return await this.whole(target, { method: "HEAD", cache: "no-cache" }, async (response) => {
        return response.status === 416 ? 0 : (seenIn(response).size ?? sentRange(response, 0).end);
      });
    } catch (error) {
      if (error instanceof SourceError && !(error instanceof Unreachable)) {
        return undefined;
      }
      throw error;
    }
  }

  /**
   * Has `take` read the pieces of a whole file of `known.size` bytes, again from the first when the
   * connection drops. Whether there is such a file.
   */
  async stream(
    target: Target,
    cache: RequestCache,
    known: Seen & { size: number },
    take: (pieces: AsyncIterable<Bytes>) => Promise<void>,
  ): Promise<boolean> {
    const found = await this.whole(target, { cache }, async (response, pieces) => {
      checkSame(target, known, seenIn(response));
      await take(exactly(target, known.size, pieces));
      return true;
    });
    return found ?? false;
  }

  /** Asks for a whole file, but as a range: such answers are not compressed, so that their length is the file's. */
  private whole<T>(target: Target, init: RequestInit, use: Use<T>): Promise<T | undefined> {
    return this.retry(target, TRIES, () =>
      this.attempt(target, { ...init, headers: { Range: "bytes=0-" } }, () => 0, use),
    );
  }

  /** Makes attempts until one does not fail in a way that another may mend. */
  private async retry<T>(target: Target, tries: number, attempt: () => Promise<T>): Promise<T> {
    const { signal, retryDelay, onNotice } = this.options;
    for (let made = 1; ; made++) {
      try {
        return await attempt();
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof Dropped)) {
          throw error;
        }
        if (made >= tries) {
          const reason = isOffline() ? "this device is offline" : error.message;
          throw new Unreachable(`${target.path}: ${reason}; gave up after ${made} tries`);
        }
        const jitter = 0.75 + Math.random() / 2;
        const wait = Math.max(error.wait, retryDelay * 2 ** (made - 1) * jitter);
        onNotice(`${target.name}: ${error.message}; trying again in ${seconds(wait)}`);
        await sleep(wait, signal);
      }
    }
  }

  /** Makes one request; undefined when there is no such file. */
  private async attempt<T>(target: Target, init: RequestInit, at: () => number, use: Use<T>): Promise<T | undefined> {
    const { signal, stallTimeout } = this.options;
    signal.throwIfAborted();
    const attempt = new AbortController();
    const abort = () => attempt.abort();
    signal.addEventListener("abort", abort);

    /** Waits for what the network does, but not for ever. */
    const arrival = async <R>(promise: Promise<R>, failure: () => string): Promise<R> => {
      let isStalled = false;
      const timer = setTimeout(() => {
        isStalled = true;
        abort();
      }, stallTimeout);
      try {
        return await promise;
      } catch {
        throw new Dropped(isStalled ? `no byte came for ${seconds(stallTimeout)}` : failure());
      } finally {
        clearTimeout(timer);
      }
    };
    const pieces = async function* (body: ReadableStream<Bytes>): AsyncGenerator<Bytes> {
      const reader = body.getReader();
      for (;;) {
        const { done, value } = await arrival(reader.read(), () => dropped(at()).message);
        if (done) {
          return;
        }
        yield value;
      }
    };

    try {
      const headers = new Headers(this.options.headers);
      new Headers(init.headers).forEach((value, name) => headers.set(name, value));
      const request = fetch(target.url, { ...init, headers, signal: attempt.signal });
      const response = await arrival(request, () => unreachable(target.url));
      return isThere(target, response) ? await use(response, pieces(response.body ?? new Blob().stream())) : undefined;
    } finally {
      signal.removeEventListener("abort", abort);
      // Ends a body that was not read to its end.
      abort();
    }
  }
}

async function* exactly(target: Target, size: number, pieces: AsyncIterable<Bytes>): AsyncGenerator<Bytes> {
  let at = 0;
  for await (const piece of pieces) {
    at += piece.length;
    if (at > size) {
      throw changed(target);
    }
    yield piece;
  }
  if (at < size) {
    throw dropped(at);
  }
}

/** Browsers do not tell a page why it gets no answer. */
function unreachable(url: URL): string {
  const isForeign = globalThis.location && location.origin !== url.origin;
  return `the server cannot be reached${isForeign ? ", or does not allow this page to read its files (CORS)" : ""}`;
}

function isOffline(): boolean {
  return globalThis.navigator?.onLine === false;
}

function seconds(milliseconds: number): string {
  return `${Number((milliseconds / 1000).toPrecision(2))} s`;
}

function sleep(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, milliseconds);
    signal.addEventListener("abort", stop, { once: true });
  });
}
