// Models for the tests: the bundled one, whole, in shards, damaged, and served.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { openPage, servePackage, WEB } from "./browser.mjs";

export const WEIGHTS = "model.safetensors";
export const INDEX = "model.safetensors.index.json";
export const MANIFEST = "tiefsee-manifest.json";

/** Small enough that the bundled model's weights have twenty chunks. */
export const CHUNK = 256 * 1024;

/** Where the bundled model lies. */
const DEMO = join(WEB, "../demo-model");

const SMALL = ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"];

/** The bundled model's files, by name. */
export function wholeDemo() {
  return Object.fromEntries([...SMALL, WEIGHTS].map((name) => [name, readFileSync(join(DEMO, name))]));
}

/**
 * The bundled model's files without the layer that predicts a further token. That one is not read, so that
 * some of its bytes are not fetched; of these files all are.
 */
export function demoFiles() {
  const { [WEIGHTS]: weights, ...rest } = wholeDemo();
  const config = { ...JSON.parse(rest["config.json"]), num_nextn_predict_layers: 0 };
  const { tensors, data } = parseSafetensors(weights);
  const used = Object.entries(tensors)
    .filter(([name]) => !name.startsWith(`model.layers.${config.num_hidden_layers}.`))
    .map(([name, tensor]) => [name, tensor, data.subarray(...tensor.data_offsets)]);
  return { ...rest, "config.json": Buffer.from(JSON.stringify(config)), [WEIGHTS]: writeSafetensors(used) };
}

/** The same files with the manifest that they should have. */
export function withManifest(files, chunkBytes = CHUNK) {
  const entries = Object.entries(files).map(([name, content]) => [
    name,
    { size: content.length, sha256: chunksOf(content, chunkBytes).map(sha256) },
  ]);
  const manifest = { version: 1, chunk_bytes: chunkBytes, files: Object.fromEntries(entries) };
  return { ...files, [MANIFEST]: JSON.stringify(manifest) };
}

function chunksOf(content, chunkBytes) {
  const count = Math.ceil(content.length / chunkBytes);
  return Array.from({ length: count }, (_, index) => content.subarray(index * chunkBytes, (index + 1) * chunkBytes));
}

function sha256(bytes) {
  return createHash("sha256").update(bytes).digest("hex");
}

/** The header of a .safetensors file, and the data after it. */
export function parseSafetensors(file) {
  const length = Number(file.readBigUInt64LE());
  const { __metadata__, ...tensors } = JSON.parse(file.toString("utf8", 8, 8 + length));
  return { tensors, data: file.subarray(8 + length) };
}

/** A .safetensors file of `[name, {dtype, shape}, bytes]`. */
export function writeSafetensors(tensors) {
  const header = {};
  let start = 0;
  for (const [name, { dtype, shape }, bytes] of tensors) {
    header[name] = { dtype, shape, data_offsets: [start, start + bytes.length] };
    start += bytes.length;
  }
  return Buffer.concat([safetensorsHeader(header), ...tensors.map(([, , bytes]) => bytes)]);
}

export function safetensorsHeader(header) {
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([length, text]);
}

/** The same model with its weights in two files and an index of them. */
export function sharded({ [WEIGHTS]: whole, ...rest }) {
  const { tensors, data } = parseSafetensors(whole);
  const shards = [[], []];
  const index = { metadata: { total_size: data.length }, weight_map: {} };
  Object.entries(tensors).forEach(([name, tensor], position) => {
    // Alternating, so that the layers are torn apart.
    shards[position % 2].push([name, tensor, data.subarray(...tensor.data_offsets)]);
    index.weight_map[name] = shardName(position % 2);
  });
  const files = shards.map((shard, number) => [shardName(number), writeSafetensors(shard)]);
  return { ...rest, ...Object.fromEntries(files), [INDEX]: Buffer.from(JSON.stringify(index)) };
}

function shardName(number) {
  return `model-0000${number + 1}-of-00002.safetensors`;
}

/** The same model with one tensor's bytes replaced by `fill`. */
export function withTensor(files, name, fill) {
  const weights = Buffer.from(files[WEIGHTS]);
  const { tensors, data } = parseSafetensors(weights);
  if (!tensors[name]) throw new Error(`no tensor ${name}`);
  data.subarray(...tensors[name].data_offsets).fill(fill);
  return { ...files, [WEIGHTS]: weights };
}

/** Puts files into a folder of a server. */
export function serve(server, files, folder = "/m") {
  for (const path of [...server.files.keys()]) {
    if (path.startsWith(`${folder}/`)) server.files.delete(path);
  }
  for (const [name, content] of Object.entries(files)) server.files.set(`${folder}/${name}`, content);
}

/**
 * The package with a wait of a hundredth between tries: `[path, text]` for a server.
 * Only what retries is about is of interest, not how long they wait.
 */
export function hastyPackage() {
  return patched("/dist/source/http.js", "options.retryDelay ?? 1000", "options.retryDelay ?? 10");
}

/** A script of the package with a change. */
export function patched(path, old, replacement) {
  const text = readFileSync(join(WEB, path), "utf8");
  if (!text.includes(old)) throw new Error(`${path} has no ${old}`);
  return { [path]: text.replace(old, () => replacement) };
}

/**
 * A server of the package and of a model under /m, and a page of it; both end with the test.
 * `load` has the page load that model and ask it.
 */
export async function openModel(t, browser, files, { scripts = {}, ...pageOptions } = {}) {
  const server = await servePackage({ files: scripts });
  t.after(() => server.close());
  serve(server, files);
  return pageOf(t, browser, server, pageOptions);
}

/** A further page of such a server. */
export async function pageOf(t, browser, server, { folder = `${server.url}/m`, ...pageOptions } = {}) {
  const opened = await openPage(browser, { ...pageOptions, server });
  t.after(() => opened.close());
  const { page } = opened;
  const load = (options) => page.evaluate(([folder, options]) => loadAndAsk(folder, options), [folder, options]);
  return { ...opened, folder, load };
}

/** Requests for a file's bytes, of a log or a part of it. */
export function requestsFor(log, name = WEIGHTS) {
  return log.filter(({ path }) => path === `/m/${name}`);
}

/** Bytes that were sent of a file. */
export function bytesOf(log, name = WEIGHTS) {
  return requestsFor(log, name).reduce((sum, { bytes }) => sum + bytes, 0);
}

/** The ranges of a file that were asked for, in order of their place. */
export function rangesOf(log, name = WEIGHTS) {
  const starts = ({ range = "" }) => Number(/\d+/.exec(range)?.[0]);
  return requestsFor(log, name).sort((a, b) => starts(a) - starts(b)).map(({ range }) => range?.replace("bytes=", ""));
}

/** The ranges of all chunks of `size` bytes. */
export function allRanges(size, chunkBytes = CHUNK) {
  const count = Math.ceil(size / chunkBytes);
  return Array.from({ length: count }, (_, index) => {
    return `${index * chunkBytes}-${Math.min((index + 1) * chunkBytes, size) - 1}`;
  });
}

/** Has the server hold a file back from byte `start` on; resolves when the page has come so far. */
export function holdFrom(server, start, name = WEIGHTS) {
  return new Promise((resolve, reject) => {
    setTimeout(() => reject(new Error(`the page did not come to byte ${start} of ${name}`)), 10_000).unref();
    server.fault(`/m/${name}`, {
      when({ path, range }) {
        if (range?.startsWith(`bytes=${start}-`)) {
          server.hold(path);
          resolve();
        }
        return false;
      },
    });
  });
}

/** A generator of whole numbers below a limit, always the same ones. */
export function generator(seed) {
  let state = seed;
  return (limit) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
}

export async function until(condition, what, seconds = 10) {
  const end = performance.now() + seconds * 1000;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`${what}: not within ${seconds} seconds`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
