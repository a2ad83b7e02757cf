import type { Target } from "./answer.js";
import { type Bytes, chunkRange, sha256 } from "./bytes.js";
import { SourceError } from "./error.js";
import type { KeptFile, Version } from "./kept.js";
import { MANIFEST } from "./manifest.js";
import type { Requests } from "./request.js";
import type { Tally } from "./tally.js";

/** Chunks in memory: the one that is handed out and the next. */
const CACHED_CHUNKS = 2;

/** Most bytes of a file that is held in memory because it can neither be kept nor be read in parts. */
const LARGEST_IN_MEMORY = 256 * 1024 * 1024;

/** A file that exists. */
export interface Remote {
  target: Target;
  version: Version;
  /** The SHA-256 of each chunk, if a manifest tells them. */
  hashes?: readonly string[] | undefined;
  kept?: KeptFile | undefined;
  /** Where the last read ended. */
  lastEnd: number;
  /** The download of the whole file, once it is known that the server sends no parts. */
  whole?: Promise<void> | undefined;
  isWholeOnly: boolean;
  /** Chunks that can neither be kept nor be asked for one by one. */
  held: Map<number, Bytes>;
}

/** The chunks of all files: from memory, from where they are kept, or from the server. */
export class Chunks {
  private readonly cached = new Map<string, Promise<Bytes>>();

  constructor(
    private readonly requests: Requests,
    private readonly tally: Tally,
    private readonly signal: AbortSignal,
    private readonly onNotice: (sentence: string) => void,
  ) {}

  /** Takes a first chunk that came while the file was looked up. */
  async begin(file: Remote, bytes: Bytes): Promise<void> {
    await this.accept(file, 0, bytes);
    void this.cache(chunkKey(file, 0), Promise.resolve(bytes));
  }

  /** Puts bytes together from chunks, one of which is fetched ahead. */
  async read(file: Remote, start: number, end: number): Promise<Bytes> {
    const { chunkBytes, size } = file.version;
    const bytes = new Uint8Array(end - start);
    const isSequential = start === file.lastEnd;
    file.lastEnd = end;
    for (let at = start; at < end; ) {
      const index = Math.floor(at / chunkBytes);
      const range = chunkRange(file.version, index);
      const chunk = this.chunk(file, index);
      // Of many files nothing but a header is read, which is in the first chunk.
      if (range.end < end || (isSequential && index > 0 && range.end < size)) {
        void this.chunk(file, index + 1);
      }
      const until = Math.min(range.end, end);
      bytes.set((await chunk).subarray(at - range.start, until - range.start), at - start);
      at = until;
    }
    return bytes;
  }

  private chunk(file: Remote, index: number): Promise<Bytes> {
    const key = chunkKey(file, index);
    return this.cache(key, this.cached.get(key) ?? this.obtain(file, index));
  }

  private cache(key: string, chunk: Promise<Bytes>): Promise<Bytes> {
    this.cached.delete(key);
    this.cached.set(key, chunk);
    for (const oldest of [...this.cached.keys()].slice(0, -CACHED_CHUNKS)) {
      this.cached.delete(oldest);
    }
    chunk.catch(() => this.cached.delete(key));
    return chunk;
  }

  private async obtain(file: Remote, index: number): Promise<Bytes> {
    const { kept } = file;
    const load = async () => (await this.readKept(file, index)) ?? (await this.download(file, index));
    const chunk = file.isWholeOnly ? undefined : await (kept ? kept.locked(index, this.signal, load) : load());
    return chunk ?? this.fromWhole(file, index);
  }

  private async readKept(file: Remote, index: number): Promise<Bytes | undefined> {
    const bytes = await file.kept?.read(index);
    if (bytes) {
      this.tally.count("download", file.target.name, index, bytes.length);
      this.tally.count("verify", file.target.name, index, bytes.length);
    }
    return bytes;
  }

  /** Fetches a chunk; undefined when the server sends nothing but whole files. */
  private async download(file: Remote, index: number): Promise<Bytes | undefined> {
    const { target, version, hashes } = file;
    const { start, end } = chunkRange(version, index);
    // With hashes it does not matter what the server calls the version.
    const known = hashes ? { size: version.size } : version;
    // What is kept here need not be in the browser's cache too.
    const usual = file.kept?.isWritten ? "no-store" : "default";
    return this.twice(target, usual, async (cache) => {
      const part = await this.requests.range(target, start, end, { cache, known });
      if (!part) {
        throw missing(target.path);
      }
      if (part.bytes) {
        await this.accept(file, index, part.bytes);
      }
      return part.bytes;
    });
  }

  /** Does `fetch` once more, past all caches, if what came had the wrong hash. */
  private async twice<T>(target: Target, cache: RequestCache, fetch: (cache: RequestCache) => Promise<T>): Promise<T> {
    try {
      return await fetch(cache);
    } catch (error) {
      if (!(error instanceof SourceError) || error.code !== "wrong_hash") {
        throw error;
      }
      this.onNotice(`${target.name}: a part arrived with the wrong SHA-256; fetching it again`);
      return fetch("reload");
    }
  }

  /** Checks a chunk that came from the server, and keeps it; whether that was possible. */
  private async accept(file: Remote, index: number, bytes: Bytes): Promise<boolean> {
    const { target, version, hashes, kept } = file;
    const hash = hashes || kept ? await sha256(bytes) : "";
    if (hashes) {
      if (hash !== hashes[index]) {
        const { start, end } = chunkRange(version, index);
        throw new SourceError(
          "wrong_hash",
          `${target.path}: chunk ${index}, bytes ${start} to ${end}, does not have the SHA-256 that ${MANIFEST} tells`,
        );
      }
      this.tally.count("verify", target.name, index, bytes.length);
    }
    this.tally.count("download", target.name, index, bytes.length);
    return (await kept?.write(index, hash, bytes)) ?? false;
  }

  /** A chunk of a file that the server does not send in parts. */
  private async fromWhole(file: Remote, index: number): Promise<Bytes> {
    const { kept, target } = file;
    file.isWholeOnly = true;
    // The second download is for a chunk that was damaged where it is kept.
    for (let downloads = 0; downloads <= 2; downloads++) {
      if (downloads > 0) {
        const load = () => this.downloadWhole(file);
        file.whole ??= (kept ? kept.locked("whole", this.signal, load) : load()).finally(() => {
          file.whole = undefined;
        });
        await file.whole;
      }
      const chunk = file.held.get(index) ?? (await this.readKept(file, index));
      if (chunk) {
        return chunk;
      }
    }
    throw new SourceError("damaged", `${target.path}: its chunk ${index} cannot be read from where it is kept`);
  }

  /** Fetches a whole file, keeping its chunks as they come. */
  private async downloadWhole(file: Remote): Promise<void> {
    const { target, version, kept } = file;
    // Another page may have done it while this one waited.
    if (await kept?.isComplete()) {
      return;
    }
    if (!kept) {
      checkHoldable(file);
    }
    const known = file.hashes ? { size: version.size } : version;
    await this.twice(target, "no-store", async (cache) => {
      const isThere = await this.requests.stream(target, cache, known, async (pieces) => {
        let index = 0;
        for await (const chunk of cutInto(version, pieces)) {
          if (!kept?.has(index) && !file.held.has(index) && !(await this.accept(file, index, chunk))) {
            checkHoldable(file);
            file.held.set(index, chunk);
          }
          index += 1;
        }
      });
      if (!isThere) {
        throw missing(target.path);
      }
    });
  }
}

function chunkKey(file: Remote, index: number): string {
  return `${index} ${file.target.name}`;
}

function checkHoldable({ target, version }: Remote): void {
  if (version.size > LARGEST_IN_MEMORY) {
    throw new SourceError(
      "unsupported",
      `${target.path}: the server must support range requests, because this file of ${version.size} bytes ` +
        "can neither be kept on this device nor be held in memory",
    );
  }
}

/** Pieces of a file, put together to its chunks. */
async function* cutInto(version: Version, pieces: AsyncIterable<Bytes>): AsyncGenerator<Bytes> {
  let start = 0;
  let chunk = new Uint8Array(Math.min(version.chunkBytes, version.size));
  let filled = 0;
  for await (let piece of pieces) {
    while (piece.length > 0) {
      const part = piece.subarray(0, chunk.length - filled);
      chunk.set(part, filled);
      filled += part.length;
      piece = piece.subarray(part.length);
      if (filled === chunk.length) {
        yield chunk;
        start += filled;
        chunk = new Uint8Array(Math.min(version.chunkBytes, version.size - start));
        filled = 0;
      }
    }
  }
}

/** The error for a file that is not there. */
export function missing(path: string): SourceError {
  return new SourceError("not_found", `${path}: the server has no such file`);
}
