/* The origin-private file system, in the words that are missing in it. */

import type { Bytes } from "./bytes.js";
import { isNamed } from "./error.js";

/** The root of the origin-private file system; undefined where the browser has none, as in some private windows. */
export async function storage(): Promise<FileSystemDirectoryHandle | undefined> {
  try {
    return await navigator.storage.getDirectory();
  } catch {
    return undefined;
  }
}

/** The names in `folder`, listed before any of them is removed. */
export async function namesIn(folder: FileSystemDirectoryHandle): Promise<string[]> {
  const names = [];
  for await (const name of folder.keys()) {
    names.push(name);
  }
  return names;
}

/** What `handle` resolves to; undefined when there is no such file or folder. */
export async function existing<T>(handle: Promise<T>): Promise<T | undefined> {
  try {
    return await handle;
  } catch (error) {
    if (isNamed(error, "NotFoundError")) {
      return undefined;
    }
    throw error;
  }
}

/** The JSON in a file; undefined when there is none. */
export async function readJson<T>(folder: FileSystemDirectoryHandle, name: string): Promise<T | undefined> {
  try {
    return JSON.parse(await (await (await folder.getFileHandle(name)).getFile()).text());
  } catch {
    return undefined;
  }
}

/** Writes a file, which has its old content until all of the new one is there. */
export async function write(folder: FileSystemDirectoryHandle, name: string, content: Bytes | string): Promise<void> {
  const writer = await (await folder.getFileHandle(name, { create: true })).createWritable();
  try {
    await writer.write(content);
    await writer.close();
  } catch (error) {
    await writer.abort().catch(() => {});
    throw error;
  }
}

/** How much room there is; undefined where the browser does not tell. */
export async function freeBytes(): Promise<{ bytes: number; quota: number } | undefined> {
  try {
    const { quota, usage } = await navigator.storage.estimate();
    return quota === undefined || usage === undefined ? undefined : { bytes: Math.max(quota - usage, 0), quota };
  } catch {
    return undefined;
  }
}
