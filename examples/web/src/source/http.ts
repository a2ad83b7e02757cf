import { differs, type Seen, type Target, Unreachable } from "./answer.js";
import { checkRange, LARGEST_CHUNK } from "./bytes.js";
import { Chunks, missing, type Remote } from "./chunks.js";
import { SourceError } from "./error.js";
import type { KeptFile, Version } from "./kept.js";
import { LARGEST_MANIFEST, type Listed, MANIFEST, parseManifest } from "./manifest.js";
import { type Part, Requests } from "./request.js";
import type { Source, SourceEvents, SourceOptions } from "./source.js";
import { Store } from "./store.js";
import { Tally } from "./tally.js";
import { modelUrl, type ModelUrl } from "./url.js";

const CHUNK = 4 * 1024 * 1024;

/** A folder, or a GGUF file, on a server. */
export class HttpSource implements Source {
  readonly name: string;
  readonly modelFile: string | undefined;
  private readonly url: ModelUrl;
  private readonly requests: Requests;
  private readonly chunks: Chunks;
  private readonly store: Promise<Store | undefined>;
  private readonly tally: Tally;
  private readonly chunkBytes: number;
  private readonly knownManifest: string | undefined;
  private readonly onNotice: (sentence: string) => void;
  private readonly ending = new AbortController();

  private readonly files = new Map<string, Promise<Remote | undefined>>();
  private manifest: Promise<Map<string, Listed>> | undefined;
  /** Whether the server could not be reached, so that the files kept are used as they are. */
  private isOffline = false;
  /** Whether the server sent something new: then nothing old may be mixed with it. */
  private isNew = false;

  constructor(url: string, options: SourceOptions, events: SourceEvents) {
    this.url = modelUrl(url);
    this.name = this.url.folder;
    this.modelFile = this.url.modelFile;
    this.chunkBytes = Math.min(options.chunkBytes ?? CHUNK, LARGEST_CHUNK);
    this.onNotice = events.onNotice ?? (() => {});
    this.knownManifest = options.manifest;
    this.tally = new Tally(events.onProgress ?? (() => {}));
    this.requests = new Requests({
      headers: checkedHeaders(options.headers),
      signal: this.ending.signal,
      retryDelay: options.retryDelay ?? 1000,
      stallTimeout: options.stallTimeout ?? 30_000,
      onNotice: this.onNotice,
    });
    this.chunks = new Chunks(this.requests, this.tally, this.ending.signal, this.onNotice);
    this.store = options.keep === false ? Promise.resolve(undefined) : Store.open(this.url.model, this.onNotice);

    const { signal } = options;
    const end = () => this.ending.abort(signal?.reason);
    signal?.addEventListener("abort", end, { signal: this.ending.signal });
    if (signal?.aborted) {
      end();
    }
  }

  size(file: string): Promise<number | undefined> {
    return this.untilClosed(async () => (await this.file(file))?.version.size);
  }

  read(file: string, start: number, end: number): Promise<Uint8Array> {
    return this.untilClosed(async () => {
      const remote = await this.file(file);
      if (!remote) {
        throw missing(`${this.name}/${file}`);
      }
      checkRange(remote.target.path, remote.version.size, start, end);
      return this.chunks.read(remote, start, end);
    });
  }

  close(): void {
    this.ending.abort(new SourceError("unloaded", `${this.name}: the model was unloaded`));
  }

  private async untilClosed<T>(work: () => Promise<T>): Promise<T> {
    const { signal } = this.ending;
    try {
      signal.throwIfAborted();
      return await work();
    } finally {
      signal.throwIfAborted();
    }
  }

  private file(name: string): Promise<Remote | undefined> {
    let file = this.files.get(name);
    if (!file) {
      file = this.find(name);
      this.files.set(name, file);
      file.catch(() => this.files.delete(name));
    }
    return file;
  }

  private async find(name: string): Promise<Remote | undefined> {
    const target = { name, path: `${this.name}/${name}`, url: this.url.file(name) };
    const listed = name === MANIFEST ? undefined : (await this.listed()).get(name);
    const store = await this.store;
    if (listed) {
      const { hashes, ...version } = listed;
      return this.remote(target, version, await store?.keep(name, version, hashes), { hashes });
    }
    const ask = () => this.ask(target, store);
    return store ? store.locked(encodeURIComponent(name), this.ending.signal, ask) : ask();
  }

  /** Asks the server for a file that no manifest describes. */
  private async ask(target: Target, store: Store | undefined): Promise<Remote | undefined> {
    const found = await store?.find(target.name);
    const kept = found === "absent" ? undefined : found;
    const isUsable = !this.isNew && (found === "absent" || (await kept?.isComplete()) === true);
    const useKept = () => kept && this.remote(target, kept.version, kept);
    if (isUsable && this.isOffline) {
      return useKept();
    }

    let part: Part | undefined;
    try {
      // Of a file that is kept no more is wanted than to know whether it is still the same.
      part = await this.requests.range(target, 0, kept ? 1 : this.chunkBytes, {
        cache: "no-cache",
        tries: isUsable ? 1 : undefined,
      });
    } catch (error) {
      if (!isUsable || !(error instanceof Unreachable)) {
        throw error;
      }
      if (!this.isOffline) {
        this.isOffline = true;
        this.onNotice("The server cannot be reached: using the files kept on this device");
      }
      return useKept();
    }
    if (part && kept) {
      if (isSame(kept.version, part.seen)) {
        return this.remote(target, kept.version, kept, { isWholeOnly: !part.bytes });
      }
      part = await this.requests.range(target, 0, this.chunkBytes, { cache: "no-cache" });
    }
    if (!part) {
      await store?.keepAbsent(target.name);
      return undefined;
    }
    this.isNew = true;
    return this.begin(target, store, part);
  }

  /** Takes up a file of which nothing is kept; `part` is how it starts. */
  private async begin(target: Target, store: Store | undefined, { seen, bytes }: Part): Promise<Remote> {
    const size = seen.size ?? (await this.requests.size(target));
    if (size === undefined) {
      throw new SourceError(
        "unsupported",
        `${target.path}: the server does not tell how large it is; it must answer range requests, ` +
          "and let pages of other origins see the header Content-Range",
      );
    }
    const version = { ...seen, size, chunkBytes: this.chunkBytes };
    const kept = await store?.keep(target.name, version);
    const file = this.remote(target, version, kept, { isWholeOnly: !bytes });
    if (bytes?.length) {
      await this.chunks.begin(file, bytes);
    }
    return file;
  }

  private remote(
    target: Target,
    version: Version,
    kept: KeptFile | undefined,
    { hashes, isWholeOnly = false }: Partial<Pick<Remote, "hashes" | "isWholeOnly">> = {},
  ): Remote {
    this.tally.expect("download", version.size);
    this.tally.expect("verify", hashes ? version.size : (kept?.bytes ?? 0));
    return { target, version, kept, hashes, isWholeOnly, lastEnd: -1, held: new Map() };
  }

  /** The files that the manifest describes: none if there is no manifest. */
  private async listed(): Promise<Map<string, Listed>> {
    this.manifest ??= this.readManifest().catch((error) => {
      this.manifest = undefined;
      throw error;
    });
    return this.manifest;
  }

  private async readManifest(): Promise<Map<string, Listed>> {
    if (this.knownManifest !== undefined) {
      return parseManifest(this.knownManifest, MANIFEST);
    }
    let file: Remote | undefined;
    try {
      file = await this.file(MANIFEST);
    } catch (error) {
      // Object stores answer so for what is missing. If all is refused, the next file shows it.
      if (!(error instanceof SourceError) || error.code !== "authorization") {
        throw error;
      }
    }
    if (!file) {
      return new Map();
    }
    const { target, version } = file;
    if (version.size > LARGEST_MANIFEST) {
      throw new SourceError("damaged", `${target.path}: has ${version.size} bytes, which is too much for a manifest`);
    }
    return parseManifest(new TextDecoder().decode(await this.chunks.read(file, 0, version.size)), target.path);
  }
}

/** Whether what is kept is what the server has now, as far as it can be told. */
function isSame(kept: Version, seen: Seen): boolean {
  const isNamed = (kept.etag && seen.etag) || (kept.lastModified && seen.lastModified);
  // A size alone says little of a small file, which is soon fetched again, and nothing where the server tells more
  // than was kept: the file was kept by a manifest that is gone.
  const isLarge = seen.size !== undefined && seen.size > kept.chunkBytes && !seen.etag && !seen.lastModified;
  return !differs(kept, seen) && Boolean(isNamed || isLarge);
}

function checkedHeaders(headers: Record<string, string> | undefined): Headers {
  try {
    return new Headers(headers);
  } catch (error) {
    throw new SourceError("usage", `the option headers: ${(error as Error).message}`);
  }
}
