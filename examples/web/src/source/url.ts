import { SourceError } from "./error.js";

/** What a GGUF file is called. */
export const GGUF = /\.gguf$/i;

/** A folder on a server. */
export interface FolderUrl {
  /** The URL without a slash at its end and without a query, which may be a secret. */
  name: string;
  /** The file in it that is the model, if the URL is one of a GGUF file. */
  modelFile: string | undefined;
  /** The URL of the model, which is the folder's or the file's, without a query. */
  model: string;
  /** The URL of a file in it, with the folder's query. */
  file(name: string): URL;
}

/** What `text`, an absolute URL, means as a model's folder. */
export function folderUrl(text: string): FolderUrl {
  const url = parse(text);
  if (url.protocol !== "https:" && url.protocol !== "http:") {
    throw new SourceError("usage", `${text} is no URL of a model's folder: it must start with https:// or http://`);
  }
  if (url.username || url.password) {
    throw new SourceError("usage", `${url.host}: a name and a password go into the option headers, not into the URL`);
  }
  const model = url.pathname.replace(/\/+$/, "");
  const [path, file] = GGUF.test(model) ? split(model) : [model, undefined];
  return {
    name: url.origin + path,
    modelFile: file,
    model: url.origin + model,
    file(name) {
      const file = new URL(url);
      file.pathname = `${path}/${encodeURIComponent(name)}`;
      return file;
    },
  };
}

/** The folder and the name of the file at `path`. */
function split(path: string): [folder: string, file: string] {
  const slash = path.lastIndexOf("/");
  const file = path.slice(slash + 1);
  try {
    return [path.slice(0, slash), decodeURIComponent(file)];
  } catch {
    throw new SourceError("usage", `${file} is no name of a file: a percent sign in it escapes nothing`);
  }
}

function parse(text: string): URL {
  try {
    return new URL(text);
  } catch {
    throw new SourceError("usage", `${text} is no URL`);
  }
}
