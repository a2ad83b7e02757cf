import { chunkCount, type Cut, isCut } from "./bytes.js";
import { SourceError } from "./error.js";

/** The file beside a model's files with their hashes, which `tiefsee manifest` writes. */
export const MANIFEST = "tiefsee-manifest.json";

/** Most bytes of a manifest: enough for terabytes of weights. */
export const LARGEST_MANIFEST = 64 * 1024 * 1024;

/** What a manifest says of a file. */
export interface Listed extends Cut {
  /** The SHA-256 of each chunk. */
  hashes: readonly string[];
}

/** The files in the manifest `text`; `path` is what messages call it. */
export function parseManifest(text: string, path: string): Map<string, Listed> {
  const damaged = (what: string) => new SourceError("damaged", `${path}: ${what}`);
  const manifest = parse(text);
  if (!isObject(manifest)) {
    throw damaged("is no JSON object");
  }
  if (manifest["version"] !== 1) {
    throw new SourceError("unsupported", `${path}: has version ${manifest["version"]}, but only version 1 is known`);
  }
  if (!isObject(manifest["files"])) {
    throw damaged("has no object of files");
  }
  const chunkBytes = manifest["chunk_bytes"] as number;
  const files = new Map<string, Listed>();
  for (const [name, entry] of Object.entries(manifest["files"])) {
    if (!isObject(entry)) {
      throw damaged(`its entry of ${name} is no object`);
    }
    const cut = { size: entry["size"] as number, chunkBytes };
    if (!isCut(cut)) {
      throw damaged(`its size of ${name} (${cut.size}) or of chunks (${chunkBytes}) makes no sense`);
    }
    const hashes: unknown = entry["sha256"];
    if (!Array.isArray(hashes) || !hashes.every((hash) => /^[0-9a-f]{64}$/.test(hash))) {
      throw damaged(`its hashes of ${name} are no list of SHA-256 hashes`);
    }
    if (hashes.length !== chunkCount(cut)) {
      throw damaged(`${name} has ${hashes.length} hashes, but ${chunkCount(cut)} chunks`);
    }
    files.set(name, { ...cut, hashes });
  }
  return files;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
