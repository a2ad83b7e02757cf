import type { KeptModel } from "../types.js";
import { type Bytes, isCut, sha256 } from "./bytes.js";
import { isNamed } from "./error.js";
import { chunksIn, KeptFile, keptBytes, type Version } from "./kept.js";
import { existing, freeBytes, namesIn, readJson, storage, write } from "./opfs.js";
import { modelUrl } from "./url.js";

/*
 * In the origin-private file system:
 *
 *     tiefsee/<hash of the model's URL>/model.json            {"url"}
 *     tiefsee/<hash of the model's URL>/<file>@<version>/     a file, as it was in one version
 *         meta.json                                           its size and what the server called the version
 *         <index>-<SHA-256>                                   a chunk
 *     tiefsee/<hash of the model's URL>/<file>@absent/        a file that the server does not have
 *
 * A chunk appears under its name when it is complete, so that pages may be closed, and several may write, at any time.
 */
const ROOT = "tiefsee";
const MODEL = "model.json";
const META = "meta.json";
const ABSENT = "absent";

/** Bytes that stay free, for what writing itself takes. */
const MARGIN = 16 * 1024 * 1024;

/** Where one model's files are kept on this device. */
export class Store {
  /** Whether chunks are kept; not for want of room, for example. */
  isWriting = true;
  /** Bytes of the files that are being loaded which are still to be kept. */
  private missing = 0;
  /** Missing files of a model that has no folder yet. */
  private readonly absentees = new Set<string>();

  private constructor(
    private readonly root: FileSystemDirectoryHandle,
    private readonly key: string,
    private readonly url: string,
    private readonly onNotice: (sentence: string) => void,
  ) {}

  /** The store of the model at `url`; undefined where the browser has none. */
  static async open(url: string, onNotice: (sentence: string) => void): Promise<Store | undefined> {
    const root = await storage();
    return root && new Store(root, await modelKey(url), url, onNotice);
  }

  /** What is kept of `file`, in whatever version; `"absent"` when the server had no such file. */
  async find(file: string): Promise<KeptFile | typeof ABSENT | undefined> {
    try {
      const model = await existing(this.model(false));
      for await (const entry of model?.keys() ?? []) {
        if (entry === entryName(file, ABSENT)) {
          return ABSENT;
        }
        if (entry.startsWith(entryName(file, ""))) {
          const folder = await model!.getDirectoryHandle(entry);
          const version = await readJson<Version>(folder, META);
          if (version && isCut(version)) {
            return await KeptFile.open(this, entry, folder, version);
          }
        }
      }
    } catch {
      // What cannot be read is as good as not kept.
    }
    return undefined;
  }

  /** Where `file` is kept in this version from now on, and in no other; undefined where that is not possible. */
  async keep(file: string, version: Version, hashes?: readonly string[]): Promise<KeptFile | undefined> {
    try {
      const model = await this.model(true);
      const entry = entryName(file, await versionKey(version));
      await removeOthers(model, file, entry);
      const folder = await model.getDirectoryHandle(entry, { create: true });
      if (!(await existing(folder.getFileHandle(META)))) {
        await write(folder, META, JSON.stringify(version));
      }
      const kept = await KeptFile.open(this, entry, folder, version, hashes);
      await this.reserve(version.size - kept.bytes);
      return kept;
    } catch (error) {
      await this.giveUp(error);
      return undefined;
    }
  }

  /** Remembers that the server does not have `file`. */
  async keepAbsent(file: string): Promise<void> {
    try {
      const model = await existing(this.model(false));
      if (model) {
        const entry = entryName(file, ABSENT);
        await removeOthers(model, file, entry);
        await model.getDirectoryHandle(entry, { create: true });
      } else {
        // A URL at which there is no model leaves nothing behind.
        this.absentees.add(file);
      }
    } catch (error) {
      await this.giveUp(error);
    }
  }

  /** Does `task` while no other page does one of the same name for this model. */
  async locked<T>(name: string, signal: AbortSignal, task: () => Promise<T>): Promise<T> {
    let isEntered = false;
    const enter = () => {
      isEntered = true;
      return task();
    };
    try {
      return (await navigator.locks.request(`${ROOT}:${this.key}/${name}`, { signal }, enter)) as T;
    } catch (error) {
      if (isEntered || signal.aborted) {
        throw error;
      }
      // Without locks two pages may load the same chunk at a time, which does no harm.
      return task();
    }
  }

  /** Writes a chunk, unless nothing more is kept; whether it is kept. */
  async write(folder: FileSystemDirectoryHandle, name: string, bytes: Bytes): Promise<boolean> {
    if (!this.isWriting) {
      return false;
    }
    try {
      await write(folder, name, bytes);
      this.missing -= bytes.length;
      return true;
    } catch (error) {
      await this.giveUp(error);
      return false;
    }
  }

  private async model(create: boolean): Promise<FileSystemDirectoryHandle> {
    const all = await this.root.getDirectoryHandle(ROOT, { create });
    const model = await all.getDirectoryHandle(this.key, { create });
    if (create) {
      if (!(await existing(model.getFileHandle(MODEL)))) {
        await write(model, MODEL, JSON.stringify({ url: this.url }));
      }
      for (const file of this.absentees) {
        await model.getDirectoryHandle(entryName(file, ABSENT), { create: true });
      }
      this.absentees.clear();
    }
    return model;
  }

  /** Stops keeping as soon as it is known that not all will have room. */
  private async reserve(bytes: number): Promise<void> {
    this.missing += bytes;
    const free = await freeBytes();
    if (bytes > 0 && free && this.missing + MARGIN > free.bytes) {
      await this.giveUp(undefined);
    }
  }

  /** Writes nothing more, and says why if the user can do something about it. */
  private async giveUp(error: unknown): Promise<void> {
    if (!this.isWriting) {
      return;
    }
    this.isWriting = false;
    if (error === undefined || isNamed(error, "QuotaExceededError")) {
      const free = await freeBytes();
      const room = free ? ` (${megabytes(free.bytes)} free of ${megabytes(free.quota)})` : "";
      this.onNotice(
        `There is no room left to keep ${this.url} on this device${room}: ` +
          "it is loaded without keeping, and downloaded again next time",
      );
    } else {
      const reason = error instanceof Error ? error.message : error;
      this.onNotice(`The files of ${this.url} cannot be kept on this device: ${reason}`);
    }
  }
}

/** The models that are kept on this device. */
export async function listKept(): Promise<KeptModel[]> {
  const models: KeptModel[] = [];
  const root = await allModels();
  for await (const model of root?.values() ?? []) {
    const url = model.kind === "directory" && (await readJson<{ url: string }>(model, MODEL))?.url;
    if (!url) {
      continue;
    }
    let bytes = 0;
    for await (const file of model.values()) {
      const version = file.kind === "directory" && (await readJson<Version>(file, META));
      if (version && isCut(version)) {
        bytes += keptBytes(version, await chunksIn(file, version));
      }
    }
    models.push({ url, bytes });
  }
  return models;
}

/** Removes what is kept of the model at `url`, or of all models. */
export async function forgetKept(url?: string): Promise<void> {
  const folder = await (url === undefined ? storage() : allModels());
  const name = url === undefined ? ROOT : await modelKey(modelUrl(url).model);
  if (folder) {
    await existing(folder.removeEntry(name, { recursive: true }));
  }
}

async function allModels(): Promise<FileSystemDirectoryHandle | undefined> {
  const root = await storage();
  return root && existing(root.getDirectoryHandle(ROOT));
}

async function modelKey(url: string): Promise<string> {
  return (await sha256(url)).slice(0, 32);
}

async function versionKey({ size, chunkBytes, etag, lastModified }: Version): Promise<string> {
  return (await sha256(JSON.stringify([size, chunkBytes, etag, lastModified]))).slice(0, 16);
}

function entryName(file: string, version: string): string {
  return `${encodeURIComponent(file)}@${version}`;
}

/** Removes all of `file` but `entry`. */
async function removeOthers(model: FileSystemDirectoryHandle, file: string, entry: string): Promise<void> {
  for (const other of await namesIn(model)) {
    if (other.startsWith(entryName(file, "")) && other !== entry) {
      await existing(model.removeEntry(other, { recursive: true }));
    }
  }
}

function megabytes(bytes: number): string {
  return `${Math.round(bytes / 1e6)} MB`;
}
