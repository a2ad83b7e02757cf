// A static file server whose every fault can be ordered.

import { createHash } from "node:crypto";
import { open, stat } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";

const TYPES = {
  ".css": "text/css; charset=utf-8",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".mjs": "text/javascript; charset=utf-8",
  ".json": "application/json",
  ".svg": "image/svg+xml",
  ".wasm": "application/wasm",
};

/** Headers that let pages of another origin read files in parts. */
export const CORS = { "Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "Content-Range, ETag" };

const PIECE = 64 * 1024;

/**
 * Starts a server on 127.0.0.1.
 *
 * - `root`: a folder of files to serve;
 * - `files`: contents (`Buffer` or text) by path, such as `{"/model/config.json": "{}"}`; they win over `root`;
 * - `headers`: sent with every answer, such as `Content-Security-Policy` or `Access-Control-Allow-Origin`;
 * - `faults`: what goes wrong, `[path, fault]` as for the server's `fault()`;
 * - `port`: 0, any, unless given.
 *
 * A fault has any of
 *
 * - `times`: how many requests it hits, all unless given; `when(request)`: which requests, of those in the log;
 * - `refuse`: no answer at all;
 * - `status`, with `headers` and `body`: this answer instead of the file; `headers` alone are added to the usual answer;
 * - `cutAfter`, `stallAfter`, `endAfter`: after so many bytes of the body the connection breaks, nothing more comes, or
 *   the body ends as if that were all;
 * - `flip`: the byte of the file that is wrong;
 * - `noRange`: the whole file whatever is asked for; `noHead`: 405 to HEAD; `most`: bytes of an answer;
 * - `etag`: another one; `hide`: headers that are left out.
 */
export async function startServer({ root, files = {}, headers = {}, faults = [], port = 0 } = {}) {
  const state = { files: new Map(Object.entries(files)), faults: [], holds: new Map(), log: [] };
  const sockets = new Set();
  const server = createServer((request, response) => {
    answer(root, headers, state, request, response).catch((error) => response.destroy(error));
  });
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  await new Promise((resolve) => server.listen(port, "127.0.0.1", resolve));

  const api = {
    /** Where it listens, without a slash at the end. */
    url: `http://127.0.0.1:${server.address().port}`,
    /** What it serves from memory; may be changed at any time. */
    files: state.files,
    /** Requests so far: `{method, path, query, range, headers, status, bytes}`. */
    log: state.log,
    /** Orders a fault for a path, or for all with `"*"`. */
    fault(path, fault) {
      state.faults.push({ path, times: Infinity, ...fault });
    },
    /** Ends all faults. */
    heal() {
      state.faults.length = 0;
    },
    /** Lets requests for a path wait until `release(path)`. */
    hold(path) {
      let release;
      const released = new Promise((resolve) => (release = resolve));
      state.holds.set(path, { released, release });
    },
    release(path) {
      state.holds.get(path)?.release();
      state.holds.delete(path);
    },
    /** Ends the server and all its connections. */
    async close() {
      for (const path of state.holds.keys()) api.release(path);
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
  for (const [path, fault] of faults) api.fault(path, fault);
  return api;
}

async function answer(root, headers, state, request, response) {
  const url = new URL(request.url, "http://localhost");
  const path = decodeURIComponent(url.pathname).replace(/\/$/, "/index.html");
  const entry = {
    method: request.method,
    path,
    query: url.search,
    range: request.headers.range,
    headers: request.headers,
    status: undefined,
    bytes: 0,
  };
  state.log.push(entry);
  const fault = takeFault(state.faults, entry);
  await state.holds.get(path)?.released;
  if (fault.refuse) {
    response.destroy();
    return;
  }

  const send = (status, more = {}) => {
    const all = { ...headers, ...more, ...fault.headers };
    for (const name of fault.hide ?? []) {
      for (const key of Object.keys(all)) {
        if (key.toLowerCase() === name.toLowerCase()) delete all[key];
      }
    }
    entry.status = status;
    response.writeHead(status, all);
  };

  if (fault.status) {
    send(fault.status);
    response.end(fault.body);
    return;
  }
  if (request.method === "OPTIONS") {
    send(204);
    response.end();
    return;
  }
  if (request.method !== "GET" && (request.method !== "HEAD" || fault.noHead)) {
    send(405);
    response.end();
    return;
  }
  const file = await find(root, state.files, path);
  if (!file) {
    send(404, { "Content-Type": "text/plain" });
    response.end("not found");
    return;
  }
  try {
    const common = {
      "Accept-Ranges": fault.noRange ? "none" : "bytes",
      "Content-Type": TYPES[extname(path)] ?? "application/octet-stream",
      ETag: fault.etag ?? file.etag,
      "Last-Modified": file.modified,
    };
    const range = fault.noRange ? undefined : parseRange(entry.range, file.size);
    if (range === "beyond") {
      send(416, { ...common, "Content-Range": `bytes */${file.size}` });
      response.end();
      return;
    }
    let [start, end] = range ?? [0, file.size];
    end = Math.min(end, start + (fault.most ?? Infinity));
    const length = fault.endAfter === undefined ? { "Content-Length": end - start } : {};
    if (range) {
      send(206, { ...common, ...length, "Content-Range": `bytes ${start}-${end - 1}/${file.size}` });
    } else {
      send(200, { ...common, ...length });
    }
    if (request.method === "HEAD") {
      response.end();
    } else {
      await sendBody(file, start, end, fault, entry, response);
    }
  } finally {
    await file.close?.();
  }
}

async function sendBody(file, start, end, fault, entry, response) {
  const last = Math.min(end, start + (fault.cutAfter ?? fault.stallAfter ?? fault.endAfter ?? Infinity));
  for (let at = start; at < last; at += PIECE) {
    const piece = Buffer.from(await file.read(at, Math.min(at + PIECE, last)));
    if (fault.flip >= at && fault.flip < at + piece.length) {
      piece[fault.flip - at] ^= 255;
    }
    if (response.destroyed) {
      return;
    }
    entry.bytes += piece.length;
    await new Promise((resolve) => response.write(piece, resolve));
  }
  if (fault.cutAfter !== undefined) {
    // Later, so that the client has seen what came before.
    await new Promise((resolve) => setTimeout(resolve, 20));
    response.destroy();
  } else if (fault.stallAfter === undefined) {
    response.end();
  }
}

function takeFault(faults, entry) {
  const fault = faults.find(({ path, when, times }) => {
    return times > 0 && (path === "*" || path === entry.path) && (!when || when(entry));
  });
  if (fault) {
    fault.times -= 1;
  }
  return fault ?? {};
}

async function find(root, files, path) {
  const content = files.get(path);
  if (content !== undefined) {
    const bytes = Buffer.from(content);
    return {
      size: bytes.length,
      etag: `"${createHash("sha256").update(bytes).digest("hex").slice(0, 16)}"`,
      modified: new Date(0).toUTCString(),
      read: (start, end) => bytes.subarray(start, end),
    };
  }
  if (root === undefined) {
    return undefined;
  }
  // A normalized absolute path cannot lead out of the root.
  const full = join(root, normalize(join("/", path)));
  const status = await stat(full).catch(() => undefined);
  if (!status?.isFile()) {
    return undefined;
  }
  const handle = await open(full);
  return {
    size: status.size,
    etag: `"${status.size.toString(16)}-${Math.floor(status.mtimeMs).toString(16)}"`,
    modified: status.mtime.toUTCString(),
    read: async (start, end) => (await handle.read(Buffer.alloc(end - start), 0, end - start, start)).buffer,
    close: () => handle.close(),
  };
}

/** `[start, end]`; undefined where there is no range that can be understood, `"beyond"` where it starts after the end. */
function parseRange(range, size) {
  const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(range ?? "") ?? [];
  if (first === undefined) {
    return undefined;
  }
  const start = Number(first);
  const end = last === "" ? size : Math.min(Number(last) + 1, size);
  return start >= size ? "beyond" : [start, end];
}
