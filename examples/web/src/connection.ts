import { TiefseeError } from "./errors.js";
import type { Answer, Calls, Event, Method, Request } from "./protocol.js";

/** A call that waits for its answer. */
interface Waiting {
  tell?: (event: Event) => void;
  resolve(result: never): void;
  reject(reason: unknown): void;
  done(): void;
}

/** The worker, and the calls that it has not answered. Every call settles, whatever becomes of the worker. */
export class Connection {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  #next = 0;
  #closed?: TiefseeError;

  constructor() {
    this.#worker = startWorker();
    this.#worker.onmessage = ({ data }: MessageEvent<Answer>) => this.#receive(data);
    this.#worker.onerror = (event) => {
      event.preventDefault();
      const why = event.message || "its script could not be loaded; does a content security policy forbid it?";
      this.close(new TiefseeError(`the worker failed: ${why}`, "internal"));
    };
    this.#worker.onmessageerror = () =>
      this.close(new TiefseeError("the worker sent what cannot be read", "internal"));
  }

  /** Has the worker do something. `signal` ends it early: the promise is then rejected with its reason. */
  call<M extends Method>(
    method: M,
    given: Calls[M]["arguments"],
    { tell, signal }: { tell?: (event: Event) => void; signal?: AbortSignal } = {},
  ): Promise<Calls[M]["result"]> {
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      if (this.#closed) return reject(this.#closed);
      if (signal?.aborted) return reject(signal.reason);
      const abort = () => {
        this.#post({ abort: id });
        this.#settle(id)?.reject(signal?.reason);
      };
      signal?.addEventListener("abort", abort, { once: true });
      const done = () => signal?.removeEventListener("abort", abort);
      this.#waiting.set(id, { tell, resolve, reject, done });
      try {
        this.#post({ id, method, arguments: given } as Request);
      } catch (error) {
        // What cannot be cloned cannot be sent.
        this.#settle(id)?.reject(error);
      }
    });
  }

  /** Ends the worker; calls under way are rejected with `reason`. */
  close(reason: TiefseeError) {
    if (this.#closed) return;
    this.#closed = reason;
    this.#worker.terminate();
    for (const id of [...this.#waiting.keys()]) this.#settle(id)?.reject(reason);
  }

  #post(request: Request) {
    this.#worker.postMessage(request);
  }

  #settle(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    waiting?.done();
    return waiting;
  }

  #receive(answer: Answer) {
    if ("event" in answer) {
      this.#waiting.get(answer.id)?.tell?.(answer.event);
    } else if ("error" in answer) {
      const { message, code } = answer.error;
      this.#settle(answer.id)?.reject(new TiefseeError(message, code));
    } else {
      this.#settle(answer.id)?.resolve(answer.result as never);
    }
  }
}

function startWorker(): Worker {
  const here = new URL(import.meta.url);
  if (here.origin === location.origin || here.protocol === "blob:") {
    // Bundlers look for this very expression.
    return new Worker(new URL("./worker.js", import.meta.url), { type: "module", name: "tiefsee" });
  }
  // Scripts of another origin, a content delivery network's for example, may be imported by a worker,
  // but not be one.
  const text = `import ${JSON.stringify(new URL("worker.js", here).href)};`;
  const url = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
  const worker = new Worker(url, { type: "module", name: "tiefsee" });
  URL.revokeObjectURL(url);
  return worker;
}
