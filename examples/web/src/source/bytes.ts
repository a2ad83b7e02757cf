import { SourceError } from "./error.js";

/** Bytes that no other thread sees. */
export type Bytes = Uint8Array<ArrayBuffer>;

/** The SHA-256 of `data`, in lower-case hexadecimal digits; a text counts as UTF-8. */
export async function sha256(data: Bytes | string): Promise<string> {
  const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Most bytes that a chunk may have: two of them are in memory at a time. */
export const LARGEST_CHUNK = 64 * 1024 * 1024;

/** How a file is cut into chunks: all are of one size, but the last may be shorter. */
export interface Cut {
  size: number;
  chunkBytes: number;
}

/** How many chunks a file has. */
export function chunkCount({ size, chunkBytes }: Cut): number {
  return Math.ceil(size / chunkBytes);
}

/** Where chunk `index` starts and ends. */
export function chunkRange({ size, chunkBytes }: Cut, index: number): { start: number; end: number } {
  const start = index * chunkBytes;
  return { start, end: Math.min(start + chunkBytes, size) };
}

/** Whether `cut` makes sense; it may come from a file. */
export function isCut(cut: Cut): boolean {
  return (
    Number.isSafeInteger(cut.size) &&
    cut.size >= 0 &&
    Number.isSafeInteger(cut.chunkBytes) &&
    cut.chunkBytes > 0 &&
    cut.chunkBytes <= LARGEST_CHUNK
  );
}

/** Refuses bytes that a file of `size` bytes does not have. */
export function checkRange(path: string, size: number, start: number, end: number): void {
  if (!(start >= 0 && start <= end && end <= size)) {
    throw new SourceError("damaged", `${path} ends at byte ${size}, but bytes ${start} to ${end} are wanted`);
  }
}
