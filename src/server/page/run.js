/** An answer on its way: it asks the server, waits where that helps, and goes on whether or not anybody looks. */

import { take } from "./conversation.js";
import { chunks, Failure, pause } from "./server.js";

/** Milliseconds between two times that what has come is kept. */
const KEPT_EVERY = 1000;
/** The rate is that of the last so many milliseconds. */
const WINDOW = 2000;

export class Run {
  /** Why nothing comes yet, in a sentence. */
  waiting = "";
  #abort = new AbortController();
  #times = [];

  /**
   * For the last turn of a conversation. `onProgress` is called whenever something has come, `keep` when it should be
   * kept; `askKey` gives whether the user has entered another key.
   */
  constructor(conversation, body, { onProgress, keep, askKey }) {
    this.conversation = conversation;
    this.answer = conversation.turns.at(-1).answer;
    this.body = body;
    this.onProgress = onProgress;
    this.keep = keep;
    this.askKey = askKey;
  }

  stop() {
    this.#abort.abort();
  }

  /** Tokens per second just now; null where nothing came. */
  get rate() {
    const now = performance.now();
    const times = this.#times.filter((time) => time > now - WINDOW);
    return times.length > 1 ? ((times.length - 1) * 1000) / (times.at(-1) - times[0]) : null;
  }

  /** Until the answer is whole, stopped or has failed, which its state tells. Never rejects. */
  async go() {
    const { answer } = this;
    try {
      await this.#asked();
      answer.state = "whole";
    } catch (error) {
      const { kind = "broken", message, advice = "" } = error;
      answer.state = this.#abort.signal.aborted ? "stopped" : "failed";
      if (answer.state === "failed") answer.failure = { kind, message, advice };
    }
    this.waiting = "";
  }

  async #asked() {
    for (;;) {
      try {
        return await this.#stream();
      } catch (error) {
        if (this.answer.tokens > 0 || !(await this.#mended(error))) throw error;
      }
    }
  }

  /** Whether it makes sense to ask again, after a while. */
  async #mended(error) {
    const { signal } = this.#abort;
    if (!(error instanceof Failure) || signal.aborted) return false;
    if (error.kind === "key") {
      this.#wait(error.message);
      return this.askKey(error.message);
    }
    if (error.kind !== "busy" && error.kind !== "loading") return false;
    await pause(error.pause, signal, (left) => this.#wait(`${error.message} Asking again in ${left} s.`));
    return true;
  }

  async #stream() {
    const times = { since: performance.now(), thinking: null };
    let kept = times.since;
    this.#wait("");
    for await (const chunk of chunks(this.body, this.#abort.signal)) {
      const now = performance.now();
      if (chunk.choices?.[0]?.delta?.reasoning_content) times.thinking ??= now;
      if (take(this.answer, chunk, times)) this.#times.push(now);
      this.onProgress();
      if (now - kept < KEPT_EVERY) continue;
      kept = now;
      this.keep();
    }
  }

  #wait(sentence) {
    this.waiting = sentence;
    this.onProgress();
  }
}
