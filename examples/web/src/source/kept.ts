import { type Bytes, chunkCount, chunkRange, type Cut, sha256 } from "./bytes.js";
import { existing, namesIn } from "./opfs.js";
import type { Store } from "./store.js";

/** One version of a file. */
export interface Version extends Cut {
  etag?: string | undefined;
  lastModified?: string | undefined;
}

/** A file that is kept, or some of its chunks. */
export class KeptFile {
  private constructor(
    private readonly store: Store,
    private readonly entry: string,
    private readonly folder: FileSystemDirectoryHandle,
    readonly version: Version,
    /** The hashes of its chunks, where somebody has told them. */
    private readonly told: readonly string[] | undefined,
    /** The hashes of the chunks that are here. */
    private hashes: Map<number, string>,
  ) {}

  static async open(
    store: Store,
    entry: string,
    folder: FileSystemDirectoryHandle,
    version: Version,
    told?: readonly string[],
  ): Promise<KeptFile> {
    return new KeptFile(store, entry, folder, version, told, await chunksIn(folder, version, told));
  }

  /** Bytes that are here. */
  get bytes(): number {
    return keptBytes(this.version, this.hashes);
  }

  /** Whether further chunks are kept; no longer when there is no room. */
  get isWritten(): boolean {
    return this.store.isWriting;
  }

  /** Whether chunk `index` was here when the folder was last looked at. */
  has(index: number): boolean {
    return this.hashes.has(index);
  }

  /** Whether all chunks are here. */
  async isComplete(): Promise<boolean> {
    await this.look().catch(() => {});
    return this.hashes.size === chunkCount(this.version);
  }

  /** Chunk `index`, if it is here and undamaged. */
  async read(index: number): Promise<Bytes | undefined> {
    try {
      if (!this.told && !this.has(index)) {
        await this.look();
      }
      const hash = this.told?.[index] ?? this.hashes.get(index);
      if (hash === undefined) {
        return undefined;
      }
      const name = `${index}-${hash}`;
      const file = await (await this.folder.getFileHandle(name)).getFile();
      const bytes = new Uint8Array(await file.arrayBuffer());
      if ((await sha256(bytes)) === hash) {
        return bytes;
      }
      this.hashes.delete(index);
      await this.folder.removeEntry(name);
    } catch {
      // What cannot be read is as good as not kept.
    }
    return undefined;
  }

  /** Keeps chunk `index`; whether that succeeded. */
  async write(index: number, hash: string, bytes: Bytes): Promise<boolean> {
    const isKept = await this.store.write(this.folder, `${index}-${hash}`, bytes);
    if (isKept) {
      this.hashes.set(index, hash);
    }
    return isKept;
  }

  /** Does `task` while no other page does one of the same name for this file. */
  locked<T>(name: string | number, signal: AbortSignal, task: () => Promise<T>): Promise<T> {
    return this.store.locked(`${this.entry}/${name}`, signal, task);
  }

  /** Another page may have added chunks. */
  private async look(): Promise<void> {
    this.hashes = await chunksIn(this.folder, this.version, this.told);
  }
}

/** The hashes of the chunks in `folder`, by index. Those that are not what was told are removed. */
export async function chunksIn(
  folder: FileSystemDirectoryHandle,
  cut: Cut,
  told?: readonly string[],
): Promise<Map<number, string>> {
  const hashes = new Map<number, string>();
  for (const name of await namesIn(folder)) {
    const [, index, hash] = /^(\d+)-([0-9a-f]{64})$/.exec(name) ?? [];
    if (!hash || Number(index) >= chunkCount(cut)) {
      continue;
    }
    if (told && told[Number(index)] !== hash) {
      await existing(folder.removeEntry(name));
    } else {
      hashes.set(Number(index), hash);
    }
  }
  return hashes;
}

/** Bytes of these chunks. */
export function keptBytes(cut: Cut, chunks: ReadonlyMap<number, string>): number {
  let bytes = 0;
  for (const index of chunks.keys()) {
    const { start, end } = chunkRange(cut, index);
    bytes += end - start;
  }
  return bytes;
}
