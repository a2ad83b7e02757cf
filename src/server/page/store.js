/**
 * The conversations that this browser keeps, each a record of its own, so that tabs do not write over each other's.
 *
 * A conversation is `{id, title, updated, revision, turns}`; its revision counts the writes, and who writes must have
 * seen the last one. Where a browser keeps nothing they last as long as the page.
 */

const HEADS = "heads";
const TURNS = "turns";

/** A write or a read that failed: `kind` is changed, removed, full or broken. */
export class StoreError extends Error {
  constructor(kind, message) {
    super(message);
    this.kind = kind;
  }
}

export class Store {
  #database;
  #channel;

  /** Opens it; `onChange` is called with an id after another tab has changed that conversation. */
  static async open(onChange) {
    const database = await openDatabase().catch(() => null);
    return database ? new Store(database, onChange) : new Memory();
  }

  constructor(database, onChange) {
    this.#database = database;
    // Another tab, of a later version of the page, needs the database otherwise.
    database.onversionchange = () => database.close();
    this.#channel = new BroadcastChannel("tiefsee.conversations");
    this.#channel.onmessage = ({ data }) => onChange(data);
  }

  /** Whether conversations stay after the page is closed. */
  get lasts() {
    return true;
  }

  /** All without their turns, the last one that was written to first. */
  async list() {
    const heads = await this.#run("readonly", (transaction, done) => {
      transaction.objectStore(HEADS).getAll().onsuccess = ({ target }) => done(target.result);
    });
    return heads.sort((a, b) => b.updated - a.updated);
  }

  /** One with its turns; null if there is none. */
  read(id) {
    return this.#run("readonly", (transaction, done) => {
      transaction.objectStore(HEADS).get(id).onsuccess = ({ target: { result: head } }) => {
        if (!head) return done(null);
        transaction.objectStore(TURNS).get(id).onsuccess = ({ target }) => done({ ...head, turns: target.result });
      };
    });
  }

  /** Keeps a conversation and counts its revision up. Its title stays what another tab has made it. */
  async write(conversation) {
    const { id, turns, ...head } = conversation;
    await this.#run("readwrite", (transaction, done, fail) => {
      const heads = transaction.objectStore(HEADS);
      heads.get(id).onsuccess = ({ target: { result: kept } }) => {
        const revision = kept?.revision ?? 0;
        if (revision !== head.revision) return fail(new StoreError(kept ? "changed" : "removed", "another tab changed it"));
        heads.put({ ...head, id, title: kept?.title ?? head.title, updated: Date.now(), revision: revision + 1 });
        transaction.objectStore(TURNS).put(turns, id);
        done();
      };
    });
    conversation.revision++;
    this.#channel.postMessage(id);
  }

  async rename(id, title) {
    await this.#run("readwrite", (transaction, done) => {
      const heads = transaction.objectStore(HEADS);
      heads.get(id).onsuccess = ({ target: { result: head } }) => {
        if (head) heads.put({ ...head, title });
        done();
      };
    });
    this.#channel.postMessage(id);
  }

  async remove(id) {
    await this.#run("readwrite", (transaction, done) => {
      transaction.objectStore(HEADS).delete(id);
      transaction.objectStore(TURNS).delete(id);
      done();
    });
    this.#channel.postMessage(id);
  }

  /** Runs requests in one transaction; what `done` was called with, once all of it is on the disk. */
  #run(mode, work) {
    return new Promise((resolve, reject) => {
      let result;
      let failure = null;
      let transaction;
      try {
        transaction = this.#database.transaction([HEADS, TURNS], mode);
      } catch (error) {
        return reject(new StoreError("broken", error.message));
      }
      transaction.oncomplete = () => resolve(result);
      transaction.onabort = () => reject(failure ?? storeError(transaction.error));
      const fail = (error) => {
        failure = error;
        transaction.abort();
      };
      work(transaction, (value) => (result = value), fail);
    });
  }
}

/** The same without a disk. */
class Memory {
  #kept = new Map();

  get lasts() {
    return false;
  }

  async list() {
    return [...this.#kept.values()].sort((a, b) => b.updated - a.updated);
  }

  async read(id) {
    return structuredClone(this.#kept.get(id) ?? null);
  }

  async write(conversation) {
    if (conversation.revision > 0 && !this.#kept.has(conversation.id)) throw new StoreError("removed", "it was deleted");
    conversation.revision++;
    const title = this.#kept.get(conversation.id)?.title ?? conversation.title;
    this.#kept.set(conversation.id, { ...structuredClone(conversation), title, updated: Date.now() });
  }

  async rename(id, title) {
    Object.assign(this.#kept.get(id) ?? {}, { title });
  }

  async remove(id) {
    this.#kept.delete(id);
  }
}

function openDatabase() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open("tiefsee", 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore(HEADS, { keyPath: "id" });
      request.result.createObjectStore(TURNS);
    };
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

function storeError(error) {
  if (error?.name === "QuotaExceededError") return new StoreError("full", "This browser has no room for more: delete conversations that are not needed.");
  return new StoreError("broken", `This browser could not keep the conversation: ${error?.message ?? "no reason given"}`);
}
