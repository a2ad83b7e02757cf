/** Requests to the server that the page came from, and what went wrong with one, in words. */

import { events } from "./events.js";
import { recall } from "./storage.js";

/** The key for a server that asks for one; it lasts as long as the tab. */
export const KEY = "key";

/** Seconds until the next attempt where the server names none. */
const PAUSE = 2;
const LONGEST_PAUSE = 60;

/** A request that failed: `kind` is key, busy, loading, lost, refused or broken. */
export class Failure extends Error {
  constructor(kind, message, { code = null, pause = PAUSE } = {}) {
    super(message);
    this.kind = kind;
    this.code = code;
    /** Seconds until another attempt may succeed. */
    this.pause = pause;
  }

  /** What can be done about it. */
  get advice() {
    if (this.code === "context_length_exceeded") return "Start a new conversation, or write less.";
    return ADVICE[this.kind];
  }
}

const ADVICE = {
  key: "Enter the key that this server was started with.",
  busy: "Try again in a moment.",
  loading: "Try again in a moment.",
  lost: "See whether the server runs and the network is up, then try again.",
  refused: "Change what was asked for, or the settings, and try again.",
  broken: "Try again; if it happens again, the server's log says more.",
};

/** Sends a request; a path is relative to the page. Anything but success is a `Failure`. */
async function request(path, { body, signal } = {}) {
  const headers = {};
  const key = recall(KEY, true);
  if (key) headers.Authorization = `Bearer ${key}`;
  if (body) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body), signal, cache: "no-store" });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Failure("lost", "The server cannot be reached.");
  }
  if (!response.ok) throw await failure(response);
  return response;
}

async function failure(response) {
  const { status } = response;
  const told = (await response.json().catch(() => null))?.error ?? {};
  const named = Number(response.headers.get("Retry-After"));
  const more = { code: told.code, pause: named > 0 ? Math.min(named, LONGEST_PAUSE) : PAUSE };
  const said = typeof told.message === "string" && told.message ? told.message : `The server answered with status ${status}.`;
  if (status === 401) return new Failure("key", recall(KEY, true) ? "The server does not accept this key." : "This server asks for a key.", more);
  if (status === 429) return new Failure("busy", "The server is busy with other requests.", more);
  if (status === 503) return new Failure("loading", said, more);
  return new Failure(status < 500 ? "refused" : "broken", said, more);
}

/** What the server serves: `{id, context}`, once it is ready. */
export async function servedModel() {
  await request("ready");
  const { data } = await (await request("v1/models")).json();
  return { id: data[0].id, context: data[0].meta?.n_ctx ?? null };
}

/** The chunks of an answer. */
export async function* chunks(body, signal) {
  const response = await request("v1/chat/completions", { body, signal });
  try {
    for await (const chunk of events(response.body)) {
      if (chunk.error) throw new Failure("broken", chunk.error.message ?? "The server failed.", { code: chunk.error.code });
      yield chunk;
    }
  } catch (error) {
    if (error instanceof Failure || signal.aborted) throw error;
    throw new Failure("lost", "The connection was lost before the answer was whole.");
  }
}

/** Waits so many seconds and says each that is left; an abort ends the wait. */
export async function pause(seconds, signal, onSecond) {
  for (let left = Math.ceil(seconds); left > 0; left--) {
    onSecond?.(left);
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, 1000 * Math.min(1, seconds));
      signal?.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
    });
    signal?.throwIfAborted();
  }
}
