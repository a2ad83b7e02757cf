import { checkRange } from "./bytes.js";
import { isNamed, SourceError } from "./error.js";
import type { Source } from "./source.js";

const CONFIG = "config.json";
const GGUF = /\.gguf$/i;

/** Files that the user chose. */
export class FileSource implements Source {
  readonly name: string;
  readonly modelFile: string | undefined;
  private readonly files = new Map<string, File>();

  constructor(chosen: readonly File[]) {
    const folder = modelFolder(chosen);
    this.name = folder || "the chosen files";
    for (const file of chosen.filter((file) => folderOf(file) === folder)) {
      if (this.files.has(file.name)) {
        throw new SourceError("usage", `two of the chosen files are called ${file.name}: choose the files of one model`);
      }
      this.files.set(file.name, file);
    }
    this.modelFile = modelFileIn(this.files.keys());
  }

  async size(file: string): Promise<number | undefined> {
    return this.files.get(file)?.size;
  }

  async read(file: string, start: number, end: number): Promise<Uint8Array> {
    return readFile(this.files.get(file), `${this.name}/${file}`, start, end);
  }
}

/** A folder that the user opened with `showDirectoryPicker()`. */
export class FolderSource implements Source {
  readonly name: string;
  modelFile: string | undefined;
  /** Files as they were when they were first asked for, so that a change in the meantime is noticed. */
  private readonly files = new Map<string, File | undefined>();

  constructor(private readonly folder: FileSystemDirectoryHandle) {
    this.name = folder.name;
  }

  async prepare(): Promise<void> {
    const names: string[] = [];
    for await (const name of this.folder.keys()) {
      names.push(name);
    }
    this.modelFile = modelFileIn(names);
  }

  async size(file: string): Promise<number | undefined> {
    return (await this.open(file))?.size;
  }

  async read(file: string, start: number, end: number): Promise<Uint8Array> {
    return readFile(await this.open(file), `${this.name}/${file}`, start, end);
  }

  private async open(file: string): Promise<File | undefined> {
    if (!this.files.has(file)) {
      this.files.set(file, await this.look(file));
    }
    return this.files.get(file);
  }

  private async look(file: string): Promise<File | undefined> {
    try {
      return await (await this.folder.getFileHandle(file)).getFile();
    } catch (error) {
      if (isNamed(error, "NotFoundError", "TypeMismatchError")) {
        return undefined;
      }
      if (isNamed(error, "NotAllowedError")) {
        throw new SourceError("authorization", `the page is not allowed to read the folder ${this.name}`);
      }
      throw error;
    }
  }
}

/** The GGUF file among files without a config.json; of several, which may be parts of one model, the first by name. */
function modelFileIn(names: Iterable<string>): string | undefined {
  const all = [...names];
  return all.includes(CONFIG) ? undefined : all.filter((name) => GGUF.test(name)).sort()[0];
}

/**
 * The folder of the model among `chosen`. A chosen folder comes with the folders in it, which may have
 * another config.json each: the model's is the one nearest to the top.
 */
function modelFolder(chosen: readonly File[]): string {
  const configs = chosen.filter((file) => file.name === CONFIG);
  const models = configs.length ? configs : chosen.filter((file) => GGUF.test(file.name));
  const folders = [...new Set((models.length ? models : chosen).map(folderOf))];
  const depth = (folder: string) => folder.split("/").length;
  const top = Math.min(...folders.map(depth));
  const [folder, other] = folders.filter((folder) => depth(folder) === top);
  if (other !== undefined) {
    throw new SourceError("usage", `files of several folders were chosen (${folder}, ${other}): choose those of one model`);
  }
  return folder ?? "";
}

function folderOf(file: File): string {
  const path = file.webkitRelativePath || file.name;
  return path.slice(0, Math.max(path.lastIndexOf("/"), 0));
}

async function readFile(file: File | undefined, path: string, start: number, end: number): Promise<Uint8Array> {
  if (!file) {
    throw new SourceError("not_found", `${path}: no such file was chosen`);
  }
  checkRange(path, file.size, start, end);
  try {
    return new Uint8Array(await file.slice(start, end).arrayBuffer());
  } catch (error) {
    if (isNamed(error, "NotReadableError", "NotFoundError")) {
      throw new SourceError("changed", `${path} was changed, moved or deleted since it was chosen: choose it again`);
    }
    throw error;
  }
}
