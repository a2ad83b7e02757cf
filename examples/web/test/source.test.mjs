// The files of a model: over HTTP with everything that goes wrong there, kept on the device, and from the user's disk.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { afterEach, beforeEach, describe, test } from "node:test";
import { gzipSync } from "node:zlib";

import { forgetKept, listKept, openSource } from "../dist/source/source.js";
import { startServer } from "./server.mjs";

const CHUNK = 1000;
const WEIGHTS = pseudoRandom(10_500, 1);
const CONFIG = Buffer.from('{"model_type": "test"}');
const FAST = { chunkBytes: CHUNK, retryDelay: 2, stallTimeout: 5000 };

let server;
let notices;
let progress;
let opened;

beforeEach(async () => {
  server = await startServer({ files: { "/m/model.safetensors": WEIGHTS, "/m/config.json": CONFIG } });
  notices = [];
  progress = [];
  opened = [];
});

afterEach(async () => {
  for (const source of opened) source.close();
  delete globalThis.navigator;
  await server.close();
});

function open(options = {}, path = "/m") {
  const source = openSource(
    server.url + path,
    { ...FAST, ...options },
    { onNotice: (sentence) => notices.push(sentence), onProgress: (step) => progress.push(step) },
  );
  opened.push(source);
  return source;
}

/** Reads a whole file as Rust does, in slabs that do not fit the chunks. */
async function readAll(source, file = "model.safetensors", slab = 700) {
  const size = await source.size(file);
  const parts = [];
  for (let at = 0; at < size; at += slab) {
    parts.push(await source.read(file, at, Math.min(at + slab, size)));
  }
  return Buffer.concat(parts);
}

function requests(file = "model.safetensors") {
  return server.log.filter(({ path }) => path === `/m/${file}`);
}

function manifestOf(files, chunkBytes = CHUNK) {
  const entries = Object.entries(files).map(([name, content]) => {
    const hashes = [];
    for (let at = 0; at < content.length; at += chunkBytes) {
      hashes.push(sha256(content.subarray(at, at + chunkBytes)));
    }
    return [name, { size: content.length, sha256: hashes }];
  });
  return JSON.stringify({ version: 1, chunk_bytes: chunkBytes, files: Object.fromEntries(entries) });
}

function serveManifest(content = manifestOf({ "model.safetensors": WEIGHTS, "config.json": CONFIG })) {
  server.files.set("/m/tiefsee-manifest.json", content);
}

function last(phase) {
  return progress.filter((step) => step.phase === phase).at(-1);
}

describe("over HTTP", () => {
  test("any range of a file is what the file has there", async () => {
    const source = open();
    assert.equal(source.name, `${server.url}/m`);
    assert.equal(await source.size("model.safetensors"), WEIGHTS.length);
    const random = generator(2);
    for (let round = 0; round < 60; round++) {
      const start = random(WEIGHTS.length + 1);
      const end = Math.min(start + random(3 * CHUNK), WEIGHTS.length);
      const bytes = await source.read("model.safetensors", start, end);
      assert.deepEqual(Buffer.from(bytes), WEIGHTS.subarray(start, end));
    }
    assert.deepEqual(notices, []);
  });

  test("what is read belongs to the reader", async () => {
    const source = open();
    (await source.read("config.json", 0, CONFIG.length)).fill(0);
    assert.deepEqual(await readAll(source, "config.json"), CONFIG);
  });

  test("no more than what is there can be read", async () => {
    const source = open();
    await rejects(source.read("config.json", 0, CONFIG.length + 1), "damaged", /config\.json ends at byte 22, but bytes 0 to 23/);
    await rejects(source.read("config.json", 5, 4), "damaged", /bytes 5 to 4/);
    assert.equal(await source.size("absent.json"), undefined);
    await rejects(source.read("absent.json", 0, 0), "not_found", /absent\.json: the server has no such file/);
  });

  test("sizes around a chunk's are right", async () => {
    const source = open();
    for (const size of [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK]) {
      const content = pseudoRandom(size, size);
      server.files.set(`/m/${size}`, content);
      assert.equal(await source.size(`${size}`), size);
      assert.deepEqual(await readAll(source, `${size}`), content);
    }
  });

  test("the URL may end with a slash and have a query, which every request has", async () => {
    const source = open({ headers: { Authorization: "Bearer abc" } }, "/m/?token=a%2Fb#fragment");
    assert.equal(source.name, `${server.url}/m`);
    assert.deepEqual(await readAll(source), WEIGHTS);
    assert.ok(server.log.every(({ query }) => query === "?token=a%2Fb"));
    assert.ok(server.log.every(({ headers }) => headers.authorization === "Bearer abc"));
  });

  test("what is no URL of a folder is refused at once", () => {
    const refused = (url, pattern, options = {}) =>
      assert.throws(() => openSource(url, options), (error) => error.code === "usage" && pattern.test(error.message));
    refused("model", /model is no URL/);
    refused("ftp://example.com/m", /must start with https/);
    refused("data:text/plain,x", /must start with https/);
    refused("https://me:secret@example.com/m", /^example\.com: a name and a password/);
    refused("https://example.com/m", /option headers/, { headers: { "no name": "x" } });
  });

  test("the next chunk is fetched ahead, and no other", async () => {
    const source = open();
    await source.size("model.safetensors");
    await source.read("model.safetensors", 3000, 3500);
    assert.deepEqual(ranges(), ["0-999", "3000-3999"], "a jump reads nothing ahead");
    await source.read("model.safetensors", 3500, 3600);
    await until(() => ranges().length === 3);
    assert.deepEqual(ranges().at(-1), "4000-4999", "reading on does");
    await source.read("model.safetensors", 3600, 4100);
    await until(() => ranges().length === 4);
    await source.read("model.safetensors", 4100, 4900);
    assert.deepEqual(ranges(), ["0-999", "3000-3999", "4000-4999", "5000-5999"]);
  });

  test("two chunks that a read needs are fetched at a time", async () => {
    const source = open();
    await source.size("model.safetensors");
    server.hold("/m/model.safetensors");
    const reading = source.read("model.safetensors", 2500, 3500);
    await until(() => ranges().length === 3);
    server.release("/m/model.safetensors");
    assert.deepEqual(Buffer.from(await reading), WEIGHTS.subarray(2500, 3500));
  });

  test("a page in place of a missing file is a missing file", async () => {
    server.files.set("/m/chat_template.jinja", "<!doctype html>");
    server.fault("/m/chat_template.jinja", { headers: { "Content-Type": "text/html; charset=utf-8" } });
    assert.equal(await open().size("chat_template.jinja"), undefined);
  });

  test("progress never goes back and ends with all", async () => {
    const source = open();
    await readAll(source);
    await readAll(source, "config.json");
    await readAll(source);
    const all = WEIGHTS.length + CONFIG.length;
    assert.deepEqual(last("download"), { phase: "download", loaded: all, total: all });
    for (let i = 1; i < progress.length; i++) {
      assert.ok(progress[i].loaded >= progress[i - 1].loaded && progress[i].total >= progress[i - 1].total);
    }
    assert.equal(last("verify"), undefined, "there is nothing to compare with");
  });

  test("the URL of a GGUF file means a file of its folder", async () => {
    server.files.set("/m/a b.gguf", WEIGHTS);
    const source = open({}, "/m/a%20b.gguf?key=1");
    assert.equal(source.name, `${server.url}/m`);
    assert.equal(source.modelFile, "a b.gguf");
    assert.deepEqual(await readAll(source, "a b.gguf"), WEIGHTS);
    assert.equal(open().modelFile, undefined);
  });
});

describe("with a manifest", () => {
  beforeEach(() => serveManifest());

  test("sizes come from it, and all bytes are compared with it", async () => {
    const source = open();
    assert.equal(await source.size("model.safetensors"), WEIGHTS.length);
    assert.deepEqual(requests(), []);
    assert.deepEqual(await readAll(source), WEIGHTS);
    const verified = last("verify");
    // The manifest's own bytes are not compared with anything.
    assert.equal(verified.loaded, WEIGHTS.length);
    assert.equal(verified.total, WEIGHTS.length);
  });

  test("its chunk size rules", async () => {
    serveManifest(manifestOf({ "model.safetensors": WEIGHTS }, 4000));
    const source = open();
    assert.deepEqual(await readAll(source), WEIGHTS);
    assert.deepEqual(ranges().sort(), ["0-3999", "4000-7999", "8000-10499"]);
  });

  test("files that it does not list are files all the same", async () => {
    serveManifest(manifestOf({ "model.safetensors": WEIGHTS }));
    const source = open();
    assert.deepEqual(await readAll(source, "config.json"), CONFIG);
    assert.equal(await source.size("absent.json"), undefined);
  });

  test("a wrong byte is mended by fetching the chunk again", async () => {
    server.fault("/m/model.safetensors", { flip: 4321, times: 1, when: ({ range }) => range === "bytes=4000-4999" });
    assert.deepEqual(await readAll(open()), WEIGHTS);
    assert.deepEqual(notices, ["model.safetensors: a part arrived with the wrong SHA-256; fetching it again"]);
    const again = requests().filter(({ range }) => range === "bytes=4000-4999");
    assert.equal(again.length, 2);
    assert.equal(again[1].headers["cache-control"], "no-cache");
  });

  test("a byte that stays wrong is an error that says where", async () => {
    server.fault("/m/model.safetensors", { flip: 4321 });
    const source = open();
    await source.read("model.safetensors", 0, 4000);
    await rejects(source.read("model.safetensors", 4000, 4001), "wrong_hash", /chunk 4, bytes 4000 to 5000, does not have the SHA-256/);
  });

  test("a file of another size is another file", async () => {
    server.files.set("/m/model.safetensors", pseudoRandom(WEIGHTS.length + 1, 1));
    await rejects(readAll(open()), "changed", /model\.safetensors changed on the server/);
  });

  test("a file that it lists but the server lacks is missing", async () => {
    server.files.delete("/m/model.safetensors");
    await rejects(readAll(open()), "not_found", /model\.safetensors/);
  });

  test("a manifest that makes no sense is an error that says why", async () => {
    const hash = "0".repeat(64);
    const manifest = (more) => JSON.stringify({ version: 1, chunk_bytes: 10, files: {}, ...more });
    const file = (entry) => manifest({ files: { "a.json": entry } });
    for (const [text, pattern, code = "damaged"] of [
      ["{", /no JSON object/],
      ["[]", /no JSON object/],
      [manifest({ version: 2 }), /version 2/, "unsupported"],
      [manifest({ files: [] }), /no object of files/],
      [file(null), /entry of a\.json/],
      [file({ size: -1, sha256: [] }), /size of a\.json \(-1\)/],
      [file({ size: 1.5, sha256: [hash] }), /size of a\.json/],
      [file({ size: "1", sha256: [hash] }), /size of a\.json/],
      [manifest({ chunk_bytes: 0, files: { a: { size: 1, sha256: [hash] } } }), /chunks \(0\)/],
      [manifest({ chunk_bytes: 1e12, files: { a: { size: 1, sha256: [hash] } } }), /makes no sense/],
      [file({ size: 1, sha256: hash }), /no list/],
      [file({ size: 1, sha256: ["x"] }), /no list/],
      [file({ size: 1, sha256: [5] }), /no list/],
      [file({ size: 11, sha256: [hash] }), /a\.json has 1 hashes, but 2 chunks/],
    ]) {
      serveManifest(text);
      await rejects(open().size("a.json"), code, pattern);
    }
  });
});

describe("when the network fails", () => {
  test("a connection that drops anywhere goes on where it was", async () => {
    const random = generator(3);
    for (let round = 0; round < 30; round++) {
      server.fault("/m/model.safetensors", { cutAfter: 1 + random(CHUNK - 1), times: 1, when: () => random(2) === 0 });
    }
    assert.deepEqual(await readAll(open()), WEIGHTS);
    assert.ok(notices.length > 5, `${notices.length} notices`);
    for (const notice of notices) {
      assert.match(notice, /^model\.safetensors: (the connection dropped at byte \d+|the server cannot be reached); trying again in [\d.]+ s$/);
    }
    assert.ok(ranges().some((range) => !/^\d*000-/.test(range) && !range.startsWith("0-")), "nothing is fetched twice");
  });

  test("a body that ends too early counts as dropped", async () => {
    server.fault("/m/model.safetensors", { endAfter: 300, times: 1, when: ({ range }) => range === "bytes=2000-2999" });
    assert.deepEqual(await readAll(open()), WEIGHTS);
    assert.match(notices[0], /^model\.safetensors: the connection dropped at byte 2300/);
    assert.ok(ranges().includes("2300-2999"));
  });

  test("errors of the server are tried again", async () => {
    for (const status of [500, 502, 503, 408, 425]) {
      server.fault("/m/model.safetensors", { status, times: 1, headers: { "Content-Type": "text/html" }, body: "<p>sorry" });
    }
    assert.deepEqual(await readAll(open()), WEIGHTS);
    assert.deepEqual(notices.map((notice) => Number(/status (\d+)/.exec(notice)[1])), [500, 502, 503, 408, 425]);
  });

  test("a server that wants to be left alone is", async () => {
    server.fault("/m/config.json", { status: 429, headers: { "Retry-After": "1" }, times: 1 });
    const start = performance.now();
    assert.deepEqual(await readAll(open(), "config.json"), CONFIG);
    assert.ok(performance.now() - start > 990);
    assert.match(notices[0], /status 429; trying again in 1 s/);
  });

  test("it gives up in the end, and says so", async () => {
    server.fault("*", { refuse: true });
    await rejects(open().size("config.json"), "network", /manifest\.json: the server cannot be reached; gave up after 6 tries/);
    assert.equal(server.log.length, 6);
    server.heal();
    server.fault("/m/config.json", { status: 500 });
    await rejects(open().size("config.json"), "network", /config\.json: the server answered with status 500; gave up/);
  });

  test("a device without a connection is told from a server that is down", async () => {
    server.fault("*", { refuse: true });
    setNavigator({ onLine: false });
    await rejects(open().size("config.json"), "network", /this device is offline/);
  });

  test("what failed can be tried again", async () => {
    server.fault("/m/config.json", { status: 500, times: 6 });
    const source = open();
    await rejects(source.size("config.json"), "network", /500/);
    assert.equal(await source.size("config.json"), CONFIG.length);
    server.fault("/m/model.safetensors", { status: 500, times: 6, when: ({ range }) => range !== "bytes=0-999" });
    await rejects(source.read("model.safetensors", 2000, 2001), "network", /500/);
    assert.equal((await source.read("model.safetensors", 2000, 2001))[0], WEIGHTS[2000]);
  });

  test("what the server refuses is not tried again", async () => {
    for (const status of [401, 403]) {
      server.fault("/m/config.json", { status, times: 1 });
      await rejects(open().size("config.json"), "authorization", new RegExp(`config\\.json: .*${status}`));
    }
    server.fault("/m/config.json", { status: 418, times: 1 });
    await rejects(open().size("config.json"), "network", /status 418/);
    assert.equal(requests("config.json").length, 3);
    assert.deepEqual(notices, []);
  });

  test("object stores refuse a manifest that they do not have", async () => {
    server.fault("/m/tiefsee-manifest.json", { status: 403 });
    assert.equal(await open().size("config.json"), CONFIG.length);
  });

  test("a connection on which nothing comes any more counts as dropped", async () => {
    server.fault("/m/model.safetensors", { stallAfter: 300, times: 1, when: ({ range }) => range === "bytes=2000-2999" });
    assert.deepEqual(await readAll(open({ stallTimeout: 300 })), WEIGHTS);
    assert.match(notices[0], /^model\.safetensors: no byte came for 0\.3 s; trying again/);
    assert.ok(ranges().includes("2300-2999"));
  });

  test("a server that never answers counts as dropped", async () => {
    server.hold("/m/config.json");
    const size = open({ stallTimeout: 300 }).size("config.json");
    await until(() => notices.length === 1);
    server.release("/m/config.json");
    assert.equal(await size, CONFIG.length);
    assert.match(notices[0], /^config\.json: no byte came for 0\.3 s/);
  });

  test("aborting ends reads with the reason", async () => {
    const reason = new Error("enough");
    const controller = new AbortController();
    const source = open({ signal: controller.signal });
    await source.size("model.safetensors");
    server.hold("/m/model.safetensors");
    const reading = source.read("model.safetensors", 3000, 6000);
    await until(() => requests().length === 3);
    controller.abort(reason);
    await assert.rejects(reading, (error) => error === reason);
    await assert.rejects(source.size("config.json"), (error) => error === reason);
    await assert.rejects(open({ signal: AbortSignal.abort(reason) }).size("config.json"), (error) => error === reason);
    assert.deepEqual(notices, []);
  });

  test("aborting does not wait for the next try", async () => {
    server.fault("/m/config.json", { status: 503, headers: { "Retry-After": "50" } });
    const controller = new AbortController();
    const size = open({ signal: controller.signal }).size("config.json");
    await until(() => notices.length === 1);
    controller.abort();
    await assert.rejects(size, { name: "AbortError" });
  });

  test("closing ends reads", async () => {
    const source = open();
    server.hold("/m/config.json");
    const size = source.size("config.json");
    await until(() => requests("config.json").length === 1);
    source.close();
    await rejects(size, "unloaded", /was unloaded/);
  });
});

describe("when the file changes", () => {
  test("another ETag is noticed", async () => {
    const source = open();
    await source.read("model.safetensors", 0, 10);
    server.fault("/m/model.safetensors", { etag: '"other"' });
    await rejects(source.read("model.safetensors", 2000, 2010), "changed", /model\.safetensors changed on the server while it was being read/);
  });

  test("a weak ETag is the same as a strong one", async () => {
    const source = open();
    server.fault("/m/model.safetensors", { etag: '"same"', times: 1 });
    server.fault("/m/model.safetensors", { etag: 'W/"same"' });
    assert.deepEqual(await readAll(source), WEIGHTS);
  });

  test("another date is noticed", async () => {
    server.fault("/m/model.safetensors", { hide: ["etag"], times: 1 });
    const source = open();
    await source.read("model.safetensors", 0, 10);
    server.fault("/m/model.safetensors", { hide: ["etag"], headers: { "Last-Modified": new Date(1e12).toUTCString() } });
    await rejects(source.read("model.safetensors", 2000, 2010), "changed", /changed/);
  });

  test("another size is noticed", async () => {
    server.fault("*", { hide: ["etag", "last-modified"] });
    for (const size of [WEIGHTS.length + 1, 1500]) {
      server.files.set("/m/model.safetensors", WEIGHTS);
      const source = open();
      await source.read("model.safetensors", 0, 10);
      server.files.set("/m/model.safetensors", pseudoRandom(size, 1));
      await rejects(source.read("model.safetensors", 2000, 2010), "changed", /changed/);
    }
  });

  test("a change between two tries of one chunk is noticed", async () => {
    server.fault("/m/config.json", { cutAfter: 10, times: 1 });
    server.fault("/m/config.json", { etag: '"other"' });
    await rejects(open().size("config.json"), "changed", /config\.json changed/);
  });
});

describe("of a server with gaps", () => {
  test("that ignores ranges, a file is loaded as a whole, once", async () => {
    server.fault("*", { noRange: true });
    const source = open();
    assert.deepEqual(await readAll(source), WEIGHTS);
    assert.deepEqual(await readAll(source, "config.json"), CONFIG);
    assert.equal(requests("config.json").length, 1);
    assert.deepEqual(ranges(), ["0-999", "0-"]);
  });

  test("that ignores ranges, a dropped connection starts again", async () => {
    server.fault("/m/model.safetensors", { noRange: true, times: 1 });
    server.fault("/m/model.safetensors", { noRange: true, cutAfter: 5000, times: 2 });
    server.fault("/m/model.safetensors", { noRange: true });
    assert.deepEqual(await readAll(open()), WEIGHTS);
    assert.equal(notices.length, 2);
  });

  test("that ignores ranges, hashes are compared all the same", async () => {
    serveManifest();
    server.fault("/m/model.safetensors", { noRange: true, flip: 4321, times: 2 });
    server.fault("/m/model.safetensors", { noRange: true });
    assert.deepEqual(await readAll(open()), WEIGHTS);
    assert.match(notices[0], /wrong SHA-256/);
    server.heal();
    server.fault("/m/model.safetensors", { noRange: true, flip: 4321 });
    await rejects(readAll(open()), "wrong_hash", /chunk 4/);
  });

  test("that ignores ranges, a file too large for the memory is refused", async () => {
    server.fault("/m/model.safetensors", { noRange: true, headers: { "Content-Length": 300e6 }, cutAfter: 10 });
    const source = open();
    assert.equal(await source.size("model.safetensors"), 300e6);
    await rejects(source.read("model.safetensors", 0, 8), "unsupported", /must support range requests, because this file of 300000000 bytes/);
  });

  test("that sends less than it is asked for, the rest is asked for", async () => {
    server.fault("/m/model.safetensors", { most: 300 });
    assert.deepEqual(await readAll(open()), WEIGHTS);
    assert.deepEqual(notices, []);
    assert.ok(ranges().includes("2300-2999"));
  });

  test("that hides Content-Range, the size is asked for", async () => {
    server.fault("*", { hide: ["Content-Range", "ETag", "Last-Modified"] });
    const source = open();
    assert.deepEqual(await readAll(source), WEIGHTS);
    assert.deepEqual(await readAll(source, "config.json"), CONFIG);
    assert.deepEqual(server.log.filter(({ method }) => method === "HEAD").map(({ path }) => path), ["/m/model.safetensors"]);
  });

  test("that hides its size everywhere, a large file is refused", async () => {
    server.fault("*", { hide: ["Content-Range"], noHead: true });
    const source = open();
    assert.deepEqual(await readAll(source, "config.json"), CONFIG);
    await rejects(source.size("model.safetensors"), "unsupported", /does not tell how large it is/);
  });

  test("that compresses whatever it sends, small files are right", async () => {
    const content = Buffer.from("compressible ".repeat(50));
    const body = gzipSync(content);
    const headers = { "Content-Encoding": "gzip", "Content-Length": body.length };
    server.fault("/m/config.json", { status: 200, headers, body });
    assert.deepEqual(await readAll(open(), "config.json"), content);
  });

  test("that sends small files without their length, they are right", async () => {
    server.fault("/m/config.json", { noRange: true, hide: ["Content-Length"] });
    assert.deepEqual(await readAll(open(), "config.json"), CONFIG);
  });
});

describe("kept on the device", () => {
  let disk;

  beforeEach(() => {
    disk = new FakeDisk();
    setNavigator({ storage: disk, locks: new FakeLocks() });
  });

  /** Loads everything, and returns the requests that it took. */
  async function load(options) {
    server.log.length = 0;
    const source = open(options);
    assert.equal(await source.size("model.safetensors.index.json"), undefined);
    assert.deepEqual(await readAll(source, "config.json"), CONFIG);
    assert.deepEqual(await readAll(source), WEIGHTS);
    source.close();
    return server.log.slice();
  }

  test("with a manifest, chunks come from there", async () => {
    serveManifest();
    await load();
    progress.length = 0;
    const log = await load();
    assert.deepEqual(log.map(({ path }) => path).sort(), ["/m/model.safetensors.index.json", "/m/tiefsee-manifest.json"]);
    assert.ok(log.every(({ bytes }) => bytes <= 1), "the manifest is only asked whether it is the same");
    assert.equal(last("verify").loaded, last("verify").total);
    assert.equal(last("download").loaded, last("download").total);
    assert.deepEqual(notices, []);
  });

  test("without one, the server is asked whether they are still the same", async () => {
    await load();
    const log = await load();
    assert.deepEqual(log.map(({ range }) => range), ["bytes=0-999", "bytes=0-999", "bytes=0-0", "bytes=0-0"]);
    assert.deepEqual(notices, []);
  });

  test("a file that changed is loaded anew, and its old version goes", async () => {
    await load();
    const changed = Buffer.from('{"model_type": "new!"}');
    server.files.set("/m/config.json", changed);
    assert.deepEqual(await readAll(open(), "config.json"), changed);
    assert.equal(disk.folders().filter((name) => name.startsWith("config.json@")).length, 1);
    assert.ok(disk.files().some((name) => name.endsWith(sha256(changed))));
    assert.ok(!disk.files().some((name) => name.endsWith(sha256(CONFIG))));
  });

  test("a chunk that a new manifest does not name goes", async () => {
    serveManifest();
    await load();
    const changed = Buffer.from(WEIGHTS);
    changed[4321] ^= 255;
    server.files.set("/m/model.safetensors", changed);
    serveManifest(manifestOf({ "model.safetensors": changed, "config.json": CONFIG }));
    server.log.length = 0;
    assert.deepEqual(await readAll(open()), changed);
    assert.deepEqual(ranges(), ["4000-4999"]);
    assert.equal(disk.files().filter((name) => /\/4-/.test(name)).length, 1);
  });

  test("without names for versions, small files are fetched anew", async () => {
    server.fault("*", { hide: ["etag", "last-modified"] });
    await load();
    const log = await load();
    assert.deepEqual(log.filter(({ path }) => path === "/m/config.json").map(({ range }) => range), ["bytes=0-0", "bytes=0-999"]);
    assert.deepEqual(ranges(), ["0-0"], "a large one is the same if its size is");
  });

  test("a file that came to the server is seen, and one that went", async () => {
    await load();
    server.files.set("/m/model.safetensors.index.json", "{}");
    assert.equal(await open().size("model.safetensors.index.json"), 2);
    server.files.delete("/m/model.safetensors.index.json");
    await load();
    assert.equal(disk.folders().filter((name) => name.startsWith("model.safetensors.index.json@")).length, 1);
  });

  test("a chunk that was damaged on the disk is fetched again", async () => {
    await load();
    disk.damage((name) => /@.*\/7-/.test(name));
    await load();
    assert.deepEqual(ranges(), ["0-0", "7000-7999"]);
    await load();
    assert.deepEqual(ranges(), ["0-0"]);
  });

  test("what was loaded before an abort need not be loaded again", async () => {
    const controller = new AbortController();
    const source = open({ signal: controller.signal });
    await source.read("model.safetensors", 0, 5000);
    controller.abort();
    server.log.length = 0;
    assert.deepEqual(await readAll(open()), WEIGHTS);
    const fetched = ranges().slice(1);
    assert.ok(fetched.length >= 4 && fetched.length <= 6 && fetched.every((range) => Number.parseInt(range) >= 5000), `${fetched}`);
  });

  for (const isListed of [false, true]) {
    test(`${isListed ? "with" : "without"} a manifest, a model loads without the network`, async () => {
      if (isListed) serveManifest();
      await load();
      server.fault("*", { refuse: true });
      const log = await load();
      assert.equal(log.length, 1, "one failed try is enough");
      assert.deepEqual(notices, ["The server cannot be reached: using the files kept on this device"]);
    });
  }

  test("a server in trouble is as good as none", async () => {
    await load();
    server.fault("*", { status: 503 });
    await load();
    assert.match(notices[0], /cannot be reached/);
  });

  test("part of a file is of no use without the network", async () => {
    await open().read("model.safetensors", 0, 5000);
    server.fault("*", { refuse: true });
    await rejects(open().size("model.safetensors"), "network", /gave up after 6 tries/);
  });

  test("new files are not mixed with old ones when the network fails", async () => {
    await load();
    server.files.set("/m/config.json", '{"model_type": "new"}');
    const source = open();
    await source.size("config.json");
    server.fault("/m/model.safetensors", { refuse: true });
    await rejects(source.size("model.safetensors"), "network", /model\.safetensors: .*gave up/);
  });

  test("nothing is kept where that is not wanted, not possible or not allowed", async () => {
    await load({ keep: false });
    assert.deepEqual(disk.files(), []);
    setNavigator({ storage: { getDirectory: () => Promise.reject(new DOMException("no", "SecurityError")) } });
    await load();
    setNavigator({});
    await load();
    assert.deepEqual(await listKept(), []);
    await forgetKept();
    assert.deepEqual(notices, []);
  });

  test("a URL without a model leaves nothing behind", async () => {
    assert.equal(await open({}, "/nothing").size("config.json"), undefined);
    assert.deepEqual(disk.folders(), []);
  });

  test("a disk that becomes full ends the keeping, not the loading", async () => {
    disk.capacity = 4500;
    await load();
    assert.equal(notices.length, 1);
    assert.match(notices[0], /^There is no room left to keep .*\/m on this device.*: it is loaded without keeping, and downloaded again next time$/);
    assert.ok(disk.files().length > 3 && disk.used() <= 4500, "what fits stays");
  });

  test("a disk that is too small is not filled", async () => {
    disk.quota = 16 * 1024 * 1024 + 5000;
    await load();
    assert.match(notices[0], /\(17 MB free of 17 MB\)/);
    assert.equal(notices.length, 1);
    assert.ok(!disk.files().some((name) => /model\.safetensors@.*\/0-/.test(name)));
  });

  test("a disk that fails is told, once", async () => {
    disk.failure = new DOMException("the disk is gone", "UnknownError");
    await load();
    assert.equal(notices.length, 1);
    assert.match(notices[0], /cannot be kept on this device: the disk is gone/);
  });

  for (const isListed of [false, true]) {
    test(`two pages load each chunk once, ${isListed ? "with" : "without"} a manifest`, async () => {
      if (isListed) serveManifest();
      const [first, second] = [open(), open()];
      const read = await Promise.all([readAll(first), readAll(second, "model.safetensors", 900)]);
      for (const bytes of read) assert.deepEqual(bytes, WEIGHTS);
      const fetched = ranges().filter((range) => range !== "0-0");
      assert.equal(fetched.length, 11);
      assert.equal(new Set(fetched).size, 11);
    });
  }

  test("two pages load a file that is sent only as a whole once", async () => {
    server.fault("/m/model.safetensors", { noRange: true });
    for (const bytes of await Promise.all([readAll(open()), readAll(open())])) assert.deepEqual(bytes, WEIGHTS);
    assert.equal(ranges().filter((range) => range === "0-").length, 1);
  });

  test("a chunk that fails is not tried more often than without a store", async () => {
    const source = open();
    await source.size("model.safetensors");
    server.fault("/m/model.safetensors", { status: 500 });
    await rejects(source.read("model.safetensors", 2000, 2001), "network", /500/);
    assert.equal(ranges().length, 1 + 6);
  });

  test("a page that is aborted lets the other go on", async () => {
    const controller = new AbortController();
    const [first, second] = [open({ signal: controller.signal }), open()];
    await first.size("model.safetensors");
    server.hold("/m/model.safetensors");
    const reading = first.read("model.safetensors", 3000, 3100);
    await until(() => ranges().includes("3000-3999"));
    server.release("/m/model.safetensors");
    await reading;
    server.hold("/m/model.safetensors");
    const held = first.read("model.safetensors", 5000, 5100);
    await until(() => ranges().includes("5000-5999"));
    const waiting = second.read("model.safetensors", 5000, 5100);
    controller.abort();
    server.release("/m/model.safetensors");
    await assert.rejects(held, { name: "AbortError" });
    assert.deepEqual(Buffer.from(await waiting), WEIGHTS.subarray(5000, 5100));
  });

  test("a page that waits for another can be aborted", async () => {
    const controller = new AbortController();
    const [first, second] = [open(), open({ signal: controller.signal })];
    await Promise.all([first.size("model.safetensors"), second.size("model.safetensors")]);
    server.hold("/m/model.safetensors");
    const held = first.read("model.safetensors", 5000, 5100);
    await until(() => ranges().includes("5000-5999"));
    const waiting = second.read("model.safetensors", 5000, 5100);
    await tick();
    controller.abort();
    await assert.rejects(waiting, { name: "AbortError" });
    server.release("/m/model.safetensors");
    await held;
  });

  test("without locks it works too", async () => {
    const locks = { request: () => Promise.reject(new DOMException("no", "SecurityError")) };
    setNavigator({ storage: disk, locks });
    await load();
    await load();
    assert.deepEqual(ranges(), ["0-0"]);
  });

  test("a file that the server sends only as a whole is kept in chunks", async () => {
    server.fault("*", { noRange: true });
    server.fault("/m/model.safetensors", { noRange: true });
    await load();
    assert.equal(disk.files().filter((name) => /model\.safetensors@.*\/\d+-/.test(name)).length, 11);
    server.log.length = 0;
    server.heal();
    await load();
    assert.deepEqual(ranges(), ["0-0"]);
  });

  test("of a file that is sent only as a whole, nothing is loaded twice", async () => {
    server.fault("/m/model.safetensors", { noRange: true });
    await load();
    disk.damage((name) => /@.*\/7-/.test(name));
    disk.writes = 0;
    await load();
    assert.equal(disk.writes, 1);
    const whole = requests().filter(({ range }) => range === "bytes=0-");
    assert.equal(whole.length, 1, "but a damaged chunk takes one more download");
    await load();
    assert.equal(requests().filter(({ range }) => range === "bytes=0-").length, 0);
  });

  test("of a file that is sent only as a whole, what has no room is held in memory", async () => {
    server.fault("/m/model.safetensors", { noRange: true });
    disk.capacity = 4500;
    await load();
    assert.equal(notices.length, 1);
  });

  test("kept models are listed and forgotten", async () => {
    serveManifest();
    await load();
    server.files.set("/n/config.json", CONFIG);
    await readAll(open({}, "/n/?token=secret"), "config.json");
    const manifest = server.files.get("/m/tiefsee-manifest.json").length;
    const sorted = (await listKept()).sort((a, b) => a.url.localeCompare(b.url));
    assert.deepEqual(sorted, [
      { url: `${server.url}/m`, bytes: WEIGHTS.length + CONFIG.length + manifest },
      { url: `${server.url}/n`, bytes: CONFIG.length },
    ]);
    await forgetKept(`${server.url}/m/`);
    assert.deepEqual(await listKept(), [sorted[1]]);
    await forgetKept(`${server.url}/unknown`);
    await forgetKept();
    assert.deepEqual(await listKept(), []);
    assert.deepEqual(disk.files(), []);
  });

  test("a model that is forgotten while it is loaded is loaded all the same", async () => {
    const source = open();
    await source.read("model.safetensors", 0, 3000);
    await forgetKept();
    assert.deepEqual(await readAll(source), WEIGHTS);
  });
});

describe("from the user's disk", () => {
  const file = (path, content) => {
    const chosen = new File([content], path.split("/").at(-1));
    return path.includes("/") ? Object.defineProperty(chosen, "webkitRelativePath", { value: path }) : chosen;
  };

  test("chosen files are read by their names", async () => {
    const source = openSource([file("config.json", CONFIG), file("model.safetensors", WEIGHTS)]);
    assert.equal(await source.size("model.safetensors"), WEIGHTS.length);
    assert.equal(await source.size("absent.json"), undefined);
    assert.deepEqual(Buffer.from(await source.read("model.safetensors", 100, 5000)), WEIGHTS.subarray(100, 5000));
    await rejects(source.read("absent.json", 0, 1), "not_found", /absent\.json/);
    await rejects(source.read("config.json", 0, 100), "damaged", /ends at byte 22/);
  });

  test("of a chosen folder, the model's folder is the one nearest to the top", async () => {
    const source = openSource([file("m/original/config.json", "{}"), file("m/config.json", CONFIG), file("m/a.bin", WEIGHTS)]);
    assert.equal(source.name, "m");
    assert.deepEqual(Buffer.from(await source.read("config.json", 0, 22)), CONFIG);
    assert.equal(await source.size("a.bin"), WEIGHTS.length);
  });

  test("files of several models are refused", () => {
    const usage = (files, pattern) =>
      assert.throws(() => openSource(files), (error) => error.code === "usage" && pattern.test(error.message));
    usage([file("x/a/config.json", "{}"), file("x/b/config.json", "{}")], /several folders were chosen \(x\/a, x\/b\)/);
    usage([file("config.json", "{}"), file("config.json", "{}")], /two of the chosen files are called config\.json/);
  });

  test("a GGUF file among chosen files is the model, where there is no config.json", () => {
    const modelOf = (...paths) => openSource(paths.map((path) => file(path, ""))).modelFile;
    assert.equal(modelOf("a.gguf", "README.md"), "a.gguf");
    assert.equal(modelOf("m/x-00002-of-00002.gguf", "m/x-00001-of-00002.gguf"), "x-00001-of-00002.gguf");
    assert.equal(modelOf("b.gguf", "a.gguf"), "a.gguf");
    assert.equal(modelOf("a.gguf", "config.json"), undefined);
    assert.equal(modelOf("config.json"), undefined);
  });

  test("a file that changed since it was chosen is told", async () => {
    const changed = file("config.json", CONFIG);
    const failing = { arrayBuffer: () => Promise.reject(new DOMException("gone", "NotReadableError")) };
    Object.defineProperty(changed, "slice", { value: () => failing });
    await rejects(openSource([changed]).read("config.json", 0, 5), "changed", /was changed, moved or deleted since it was chosen/);
  });

  test("a folder is read by the names in it", async () => {
    const disk = new FakeDisk();
    const folder = await disk.getDirectory();
    disk.put(folder, "config.json", CONFIG);
    await folder.getDirectoryHandle("folder.json", { create: true });
    const source = openSource(folder);
    assert.deepEqual(Buffer.from(await source.read("config.json", 2, 12)), CONFIG.subarray(2, 12));
    assert.equal(await source.size("absent.json"), undefined);
    assert.equal(await source.size("folder.json"), undefined);
    folder.getFileHandle = () => Promise.reject(new DOMException("no", "NotAllowedError"));
    await rejects(source.size("other.json"), "authorization", /not allowed to read/);
  });
});

/** The ranges of `model.safetensors` that were asked for. */
function ranges() {
  return requests().map(({ range }) => range?.replace("bytes=", ""));
}

async function rejects(promise, code, pattern) {
  await assert.rejects(promise, (error) => {
    assert.equal(error.code, code, error.stack);
    assert.match(error.message, pattern);
    return true;
  });
}

async function until(condition) {
  const end = performance.now() + 5000;
  while (!condition()) {
    assert.ok(performance.now() < end, "it did not happen within five seconds");
    await tick();
  }
}

function tick() {
  return new Promise((resolve) => setTimeout(resolve, 2));
}

function setNavigator(value) {
  Object.defineProperty(globalThis, "navigator", { value, configurable: true });
}

function sha256(bytes) {
  return createHash("sha256").update(bytes).digest("hex");
}

/** A generator of whole numbers below a limit, always the same ones. */
function generator(seed) {
  let state = seed;
  return (limit) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
}

function pseudoRandom(length, seed) {
  const random = generator(seed);
  return Buffer.from(Array.from({ length }, () => random(256)));
}

/** As much of `navigator.storage` and the origin-private file system as is used. */
class FakeDisk {
  root = new Map();
  quota = 1e9;
  /** Bytes after which a write fails, whatever the quota says. */
  capacity = Infinity;
  /** What every write fails with. */
  failure = undefined;
  /** Files written so far. */
  writes = 0;

  async getDirectory() {
    return this.#folder("", this.root);
  }

  async estimate() {
    return { quota: this.quota, usage: this.used() };
  }

  used() {
    return this.#walk().reduce((bytes, [, entry]) => bytes + (entry instanceof Map ? 0 : entry.length), 0);
  }

  /** The paths of all files. */
  files() {
    return this.#walk().filter(([, entry]) => !(entry instanceof Map)).map(([path]) => path);
  }

  /** The names of all folders. */
  folders() {
    return this.#walk().filter(([, entry]) => entry instanceof Map).map(([path]) => path.split("/").at(-1));
  }

  /** Turns a bit in each file that `which` chooses by its path. */
  damage(which) {
    for (const [path, entry] of this.#walk()) {
      if (!(entry instanceof Map) && which(path)) entry[0] ^= 1;
    }
  }

  put(folder, name, content) {
    folder.entries.set(name, content);
  }

  #walk(entries = this.root, prefix = "") {
    return [...entries].flatMap(([name, entry]) => {
      const path = `${prefix}/${name}`;
      return [[path, entry], ...(entry instanceof Map ? this.#walk(entry, path) : [])];
    });
  }

  #folder(name, entries) {
    const disk = this;
    const get = (child, isFolder, create) => {
      if (!entries.has(child)) {
        if (!create || entries.isRemoved) throw new DOMException(`${child} is not there`, "NotFoundError");
        entries.set(child, isFolder ? new Map() : Buffer.alloc(0));
      }
      if (entries.get(child) instanceof Map !== isFolder) throw new DOMException(child, "TypeMismatchError");
    };
    return {
      kind: "directory",
      name,
      entries,
      async getDirectoryHandle(child, { create = false } = {}) {
        get(child, true, create);
        return disk.#folder(child, entries.get(child));
      },
      async getFileHandle(child, { create = false } = {}) {
        get(child, false, create);
        return disk.#file(child, entries);
      },
      async removeEntry(child, { recursive = false } = {}) {
        const entry = entries.get(child);
        if (entry === undefined) throw new DOMException(child, "NotFoundError");
        if (entry.size > 0 && !recursive) throw new DOMException(child, "InvalidModificationError");
        for (const folder of [entry, ...disk.#walk(entry instanceof Map ? entry : []).map(([, below]) => below)]) {
          folder.isRemoved = true;
        }
        entries.delete(child);
      },
      async *keys() {
        for (const child of entries.keys()) {
          await undefined;
          yield child;
        }
      },
      async *values() {
        for (const [child, entry] of entries) {
          yield entry instanceof Map ? disk.#folder(child, entry) : disk.#file(child, entries);
        }
      },
    };
  }

  #file(name, entries) {
    const disk = this;
    return {
      kind: "file",
      name,
      async getFile() {
        if (!entries.has(name)) throw new DOMException(name, "NotFoundError");
        return new File([entries.get(name)], name);
      },
      async createWritable() {
        let content = Buffer.alloc(0);
        return {
          async write(data) {
            await tick();
            content = Buffer.concat([content, Buffer.from(data)]);
          },
          async close() {
            if (disk.failure) throw disk.failure;
            if (entries.isRemoved) throw new DOMException(name, "NotFoundError");
            if (disk.used() + content.length > disk.capacity) throw new DOMException("full", "QuotaExceededError");
            entries.set(name, content);
            disk.writes += 1;
          },
          async abort() {},
        };
      },
    };
  }
}

/** As much of `navigator.locks` as is used. */
class FakeLocks {
  #ends = new Map();

  async request(name, { signal }, task) {
    signal.throwIfAborted();
    const before = this.#ends.get(name) ?? Promise.resolve();
    let end;
    const ended = new Promise((resolve) => (end = resolve));
    this.#ends.set(name, before.then(() => ended));
    try {
      await new Promise((resolve, reject) => {
        const abort = () => reject(signal.reason);
        signal.addEventListener("abort", abort);
        before.then(() => {
          signal.removeEventListener("abort", abort);
          resolve();
        });
      });
      return await task();
    } finally {
      end();
    }
  }
}
