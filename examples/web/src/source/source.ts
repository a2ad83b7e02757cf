import type { CreateOptions } from "../types.js";
import { FileSource, FolderSource } from "./files.js";
import { HttpSource } from "./http.js";

export { SourceError } from "./error.js";
export { forgetKept, listKept } from "./store.js";

/** A folder of files that can be read in parts, wherever it lies; what `Source` is in Rust. */
export interface Source {
  /** What messages call the folder. */
  readonly name: string;
  /** The GGUF file that is the model; undefined where the folder is. */
  readonly modelFile?: string | undefined;
  /** Looks what there is, before anything is read. */
  prepare?(): Promise<void>;
  /** The bytes in `file`; undefined when there is no such file. */
  size(file: string): Promise<number | undefined>;
  /** The bytes of `file` from `start` to before `end`, all of them or an error. */
  read(file: string, start: number, end: number): Promise<Uint8Array>;
  /** Ends what is under way. */
  close?(): void;
}

/** A `ModelSource` as it goes to a worker: the absolute URL of a folder or of a GGUF file, or files of the user's disk. */
export type Place = string | FileList | readonly File[] | FileSystemDirectoryHandle;

/** How files are fetched. */
export interface SourceOptions extends Pick<CreateOptions, "keep" | "headers" | "signal"> {
  /** The manifest's text where it is known already; else the server is asked for it. */
  manifest?: string;
  /** Bytes that are asked for at a time where no manifest says it; 4 MiB unless given. */
  chunkBytes?: number;
  /** Milliseconds until a failed request is made again; doubled for each further one. 1000 unless given. */
  retryDelay?: number;
  /** Milliseconds without a byte after which a request counts as failed. 30000 unless given. */
  stallTimeout?: number;
}

/** Who is told what happens. */
export type SourceEvents = Pick<CreateOptions, "onProgress" | "onNotice">;

/** The files at `place`. A `usage` error where that is no place of a model. */
export function openSource(place: Place, options: SourceOptions = {}, events: SourceEvents = {}): Source {
  if (typeof place === "string") {
    return new HttpSource(place, options, events);
  }
  return "getFileHandle" in place ? new FolderSource(place) : new FileSource(Array.from(place));
}
