/* What a server's answers mean. */

import { SourceError } from "./error.js";

const LONGEST_WAIT_MS = 60_000;

/** A file on a server. */
export interface Target {
  /** Its name in the folder. */
  name: string;
  /** What messages call it. */
  path: string;
  url: URL;
}

/** What an answer tells of a file, as far as the server lets the page see it. */
export interface Seen {
  size?: number | undefined;
  etag?: string | undefined;
  lastModified?: string | undefined;
}

/** A server that cannot be reached, or is not able to answer, however often it is asked. */
export class Unreachable extends SourceError {
  constructor(message: string) {
    super("network", message);
  }
}

/** Why a request failed that may work when it is made again. */
export class Dropped extends Error {
  constructor(
    message: string,
    /** Milliseconds that the server wants to be left alone for. */
    readonly wait = 0,
  ) {
    super(message);
  }
}

/** Whether there is such a file; an error where the answer is neither it nor that it is missing. */
export function isThere(target: Target, response: Response): boolean {
  const { status, headers } = response;
  // Servers of single-page applications send their page in place of whatever is missing.
  const isPage = response.ok && headers.get("Content-Type")?.startsWith("text/html");
  if (status === 404 || status === 410 || isPage) {
    return false;
  }
  if (status === 401 || status === 403) {
    throw new SourceError("authorization", `${target.path}: the server refuses to send it (status ${status})`);
  }
  if (status === 408 || status === 425 || status === 429 || (status >= 500 && status !== 501)) {
    const wait = Number(headers.get("Retry-After")) * 1000 || 0;
    throw new Dropped(`the server answered with status ${status}`, Math.min(wait, LONGEST_WAIT_MS));
  }
  if (status !== 200 && status !== 206 && status !== 416) {
    throw new SourceError("network", `${target.path}: the server answered with status ${status}`);
  }
  return true;
}

/** What an answer tells of its file. */
export function seenIn({ status, headers }: Response): Seen {
  const total = status === 200 ? length(headers) : /\/(\d+)$/.exec(headers.get("Content-Range") ?? "")?.[1];
  return {
    size: total === undefined ? undefined : Number(total),
    // A weak tag says the same of a file that is not compressed.
    etag: headers.get("ETag")?.replace(/^W\//, ""),
    lastModified: headers.get("Last-Modified") ?? undefined,
  };
}

/** Where the body starts and ends in the file; `end` is undefined where the server does not tell. */
export function sentRange({ headers }: Response, asked: number): { start: number; end: number | undefined } {
  const range = /^bytes (\d+)-(\d+)/.exec(headers.get("Content-Range") ?? "");
  if (range) {
    return { start: Number(range[1]), end: Number(range[2]) + 1 };
  }
  const bytes = length(headers);
  return { start: asked, end: bytes === undefined ? undefined : asked + bytes };
}

/** The length of a body that is not compressed. */
function length(headers: Headers): number | undefined {
  const bytes = headers.get("Content-Length");
  return bytes === null || headers.has("Content-Encoding") ? undefined : Number(bytes);
}

/** Whether an answer contradicts what is known of a file. */
export function differs(known: Seen, seen: Seen): boolean {
  return (["size", "etag", "lastModified"] as const).some((key) => {
    return known[key] !== undefined && seen[key] !== undefined && known[key] !== seen[key];
  });
}

/** Refuses an answer that contradicts what is known. */
export function checkSame(target: Target, known: Seen | undefined, seen: Seen): void {
  if (known && differs(known, seen)) {
    throw changed(target);
  }
}

/** The error for a file that is not the one it was. */
export function changed(target: Target): SourceError {
  return new SourceError("changed", `${target.path} changed on the server while it was being read: load it again`);
}

/** The failure of a body that ended too early. */
export function dropped(at: number): Dropped {
  return new Dropped(`the connection dropped at byte ${at}`);
}
