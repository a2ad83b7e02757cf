import { SourceError } from "./error.js";

/** A folder on a server. */
export interface FolderUrl {
  /** The URL without a slash at its end and without a query, which may be a secret. */
  name: string;
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
  const path = url.pathname.replace(/\/+$/, "");
  return {
    name: url.origin + path,
    file(name) {
      const file = new URL(url);
      file.pathname = `${path}/${encodeURIComponent(name)}`;
      return file;
    },
  };
}

function parse(text: string): URL {
  try {
    return new URL(text);
  } catch {
    throw new SourceError("usage", `${text} is no URL`);
  }
}
