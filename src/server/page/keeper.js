/** Writes conversations to the store, one write of each after the other, and settles what tabs disagree on. */

import { branch } from "./conversation.js";

export class Keeper {
  #writes = new Map();

  /** `onBranch` is called when a conversation had to be kept under another name, `onError` with a sentence. */
  constructor(store, { onKept, onBranch, onError }) {
    this.store = store;
    this.onKept = onKept;
    this.onBranch = onBranch;
    this.onError = onError;
  }

  /** Keeps what the conversation is by the time of the write. */
  keep(conversation) {
    const running = this.#writes.get(conversation);
    if (running) {
      running.again = true;
      return running.done;
    }
    const write = { again: false };
    write.done = this.#write(conversation, write).finally(() => this.#writes.delete(conversation));
    this.#writes.set(conversation, write);
    return write.done;
  }

  async #write(conversation, write) {
    do {
      write.again = false;
      try {
        await this.store.write(conversation);
      } catch (error) {
        if (error.kind !== "changed") {
          // What was deleted in another tab stays deleted.
          if (error.kind !== "removed") this.onError(error.message);
          return;
        }
        Object.assign(conversation, branch(conversation));
        this.onBranch(conversation);
        write.again = true;
      }
    } while (write.again);
    this.onKept();
  }
}
