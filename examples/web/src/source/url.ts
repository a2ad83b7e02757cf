import { SourceError } from "./error.js";

/** Where a model lies on a server. */
export interface ModelUrl {
  /** The URL of its folder without a slash at its end and without a query, which may be a secret. */
  folder: string;
  /** The URL of the model: its folder's, or that of its GGUF file. */
  model: string;
  /** The GGUF file that is the model; undefined where the folder is. */
  modelFile?: string;
  /** The URL of a file in the folder, with the model's query. */
  file(name: string): URL;
}

/** What `text`, an absolute URL, means as a model's folder or as a GGUF file. */
export function modelUrl(text: string): ModelUrl {
  const url = parse(text);
  if (url.protocol !== "https:" && url.protocol !== "http:") {
    throw new SourceError("usage", `${text} is no URL of a model: it must start with https:// or http://`);
  }
  if (url.username || url.password) {
    throw new SourceError("usage", `${url.host}: a name and a password go into the option headers, not into the URL`);
  }
  const path = url.pathname.replace(/\/+$/, "");
  const slash = path.lastIndexOf("/");
  const isFile = /\.gguf$/i.test(path);
  const folder = isFile ? path.slice(0, slash) : path;
  return {
    folder: url.origin + folder,
    model: url.origin + path,
    ...(isFile && { modelFile: decoded(path.slice(slash + 1)) }),
    file(name) {
      const file = new URL(url);
      file.pathname = `${folder}/${encodeURIComponent(name)}`;
      return file;
    },
  };
}

/** A part of a path; as it is where a percent sign escapes nothing. */
export function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function parse(text: string): URL {
  try {
    return new URL(text);
  } catch {
    throw new SourceError("usage", `${text} is no URL`);
  }
}
