// What goes wrong while a model is loaded in a browser. Every call settles, soon, and says in words why.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import { answered, failed, openBrowser, openPage, servePackage, WEB } from "./browser.mjs";
import {
  CHUNK,
  demoFiles,
  generator,
  hastyPackage,
  holdFrom,
  INDEX,
  openModel,
  pageOf,
  rangesOf,
  requestsFor,
  sharded,
  WEIGHTS,
  wholeDemo,
  withManifest,
  withTensor,
} from "./models.mjs";

const files = demoFiles();
const listed = withManifest(files);

let browser;
let patience;
before(async () => {
  browser = await openBrowser();
  // Read by the last test.
  patience = unreachable();
});
after(() => browser.close());

/** Loads from a server that refuses everything, with the usual waits between tries: meanwhile other tests run. */
async function unreachable() {
  const server = await servePackage();
  const { page, close } = await openPage(browser, { server });
  server.fault("/m/tiefsee-manifest.json", { refuse: true });
  const seen = await page.evaluate((url) => loadAndAsk(url), `${server.url}/m`);
  await close();
  await server.close();
  return { seen, tries: server.log.filter(({ path }) => path.startsWith("/m/")).length };
}

describe("wrong bytes", () => {
  test("are fetched again", async (t) => {
    const { server, load } = await openModel(t, browser, listed);
    const wrong = `bytes=${5 * CHUNK}-`;
    server.fault(`/m/${WEIGHTS}`, { flip: 5 * CHUNK + 77, times: 1, when: ({ range }) => range.startsWith(wrong) });
    const seen = await load();
    answered(seen);
    assert.deepEqual(seen.notices, ["model.safetensors: a part arrived with the wrong SHA-256; fetching it again"]);
    assert.equal(requestsFor(server.log).filter(({ range }) => range.startsWith(wrong)).length, 2);
  });

  test("that stay wrong are named, and the right ones load later", async (t) => {
    const { server, load } = await openModel(t, browser, listed);
    server.fault(`/m/${WEIGHTS}`, { flip: 5 * CHUNK + 77 });
    failed(await load(), "wrong_hash", new RegExp(`/m/model\\.safetensors: chunk 5, bytes ${5 * CHUNK} to ${6 * CHUNK}, does not have the SHA-256`), 5);
    server.heal();
    answered(await load());
  });
});

describe("files that change on the server", () => {
  test("in mid-load are told from a network that fails", async (t) => {
    // Of two chunks where no manifest says otherwise.
    const { server, load } = await openModel(t, browser, wholeDemo());
    server.fault(`/m/${WEIGHTS}`, { etag: '"another"', when: ({ range }) => !range.startsWith("bytes=0-") });
    failed(await load(), "changed", /model\.safetensors changed on the server while it was being read: load it again/, 5);
    server.heal();
    answered(await load());
  });

  test("in length are noticed with a manifest too", async (t) => {
    const { server, load } = await openModel(t, browser, listed);
    server.files.set(`/m/${WEIGHTS}`, Buffer.concat([files[WEIGHTS], Buffer.alloc(1)]));
    failed(await load(), "changed", /model\.safetensors changed/, 5);
  });
});

describe("aborting", () => {
  test("in mid-download ends at once, with the signal's reason", async (t) => {
    const { server, page, folder, load } = await openModel(t, browser, listed);
    const held = holdFrom(server, 6 * CHUNK);
    await page.evaluate((folder) => {
      window.aborter = new AbortController();
      window.created = tiefsee.Engine.create(folder, { signal: window.aborter.signal });
      window.created.catch(() => {});
    }, folder);
    await held;
    const { isReason, took } = await page.evaluate(async () => {
      const reason = new Error("the user left");
      const start = performance.now();
      window.aborter.abort(reason);
      const error = await window.created.catch((error) => error);
      return { isReason: error === reason, took: performance.now() - start };
    });
    assert.ok(isReason);
    assert.ok(took < 200, `${took} ms`);
    server.heal();
    server.release(`/m/${WEIGHTS}`);
    answered(await load());
  });

  test("before the start, nothing is asked for", async (t) => {
    const { server, page, folder } = await openModel(t, browser, listed);
    const isReason = await page.evaluate(async (folder) => {
      const signal = AbortSignal.abort("stop");
      return (await tiefsee.Engine.create(folder, { signal }).catch((error) => error)) === "stop";
    }, folder);
    assert.ok(isReason);
    assert.deepEqual(server.log.filter(({ path }) => path.startsWith("/m/")), []);
  });
});

describe("damaged files", () => {
  const text = (content) => Buffer.from(content);
  const cut = (length) => files[WEIGHTS].subarray(0, length);
  const header = Buffer.from(files[WEIGHTS]);
  header.writeBigUInt64LE(2n ** 64n - 1n);
  const inShards = sharded(files);
  const indexed = (change) => {
    const index = JSON.parse(inShards[INDEX]);
    change(index.weight_map);
    return { ...inShards, [INDEX]: text(JSON.stringify(index)) };
  };
  const without = (model, gone) => Object.fromEntries(Object.entries(model).filter(([name]) => name !== gone));
  const noise = generator(5);

  const cases = [
    ["weights cut in half", { ...files, [WEIGHTS]: cut(files[WEIGHTS].length >> 1) }, "damaged", /model\.safetensors/],
    ["weights without the last byte", { ...files, [WEIGHTS]: cut(files[WEIGHTS].length - 1) }, "damaged", /model\.safetensors/],
    ["weights cut in the header", { ...files, [WEIGHTS]: cut(1000) }, "damaged", /model\.safetensors/],
    ["weights of no bytes", { ...files, [WEIGHTS]: cut(0) }, "damaged", /model\.safetensors/],
    ["a header of 2^64-1 bytes", { ...files, [WEIGHTS]: header }, "damaged", /model\.safetensors/],
    ["weights of noise", { ...files, [WEIGHTS]: Buffer.from(Array.from({ length: 5000 }, () => noise(256))) }, "damaged", /model\.safetensors/],
    ["no weights", without(files, WEIGHTS), "not_found", /safetensors/],
    ["an unreadable configuration", { ...files, "config.json": text("{") }, "damaged", /config\.json/],
    ["a configuration of other weights", { ...files, "config.json": text(JSON.stringify({ ...JSON.parse(files["config.json"]), hidden_size: 64 })) }, "damaged", /model\.safetensors|config\.json/],
    ["another architecture", { ...files, "config.json": text(`{"architectures":["GemmaForCausalLM"],"model_type":"gemma"}`) }, "unsupported", /config\.json.*gemma/i],
    ["no configuration", without(files, "config.json"), "not_found", /config\.json/],
    ["an unreadable tokenizer", { ...files, "tokenizer.json": text("[1]") }, "damaged", /tokenizer\.json/],
    ["no tokenizer", without(files, "tokenizer.json"), "not_found", /tokenizer\.json/],
    ["an index that leads out of the folder", indexed((map) => (map["lm_head.weight"] = "../secret.safetensors")), "damaged", /index\.json.*\.\.\/secret/],
    ["a shard that is missing", without(inShards, "model-00002-of-00002.safetensors"), "damaged", /model-00002-of-00002\.safetensors/],
    ["a tensor in the wrong shard", indexed((map) => (map["lm_head.weight"] = map["lm_head.weight"].replace(/0000(\d)-/, (_, n) => `0000${3 - n}-`))), "damaged", /lm_head\.weight/],
    ["a manifest of noise", { ...files, "tiefsee-manifest.json": text("no") }, "damaged", /tiefsee-manifest\.json/],
    ["weights that are no numbers", withTensor(files, "model.norm.weight", 0xff), "damaged", /model\.safetensors: tensor `model\.norm\.weight`: .*not finite/],
  ];
  for (const [name, model, code, pattern] of cases) {
    test(name, async (t) => {
      const { server, load } = await openModel(t, browser, model);
      failed(await load(), code, pattern, 5);
      assert.ok(server.log.every(({ path }) => !path.includes("secret")));
    });
  }

  test("what is no place of a model is refused", async (t) => {
    const { page, close } = await openPage(browser);
    t.after(close);
    for (const [place, pattern] of [
      ["http://", /is no URL/],
      ["ftp://example.com/m", /must start with https/],
      ["https://me:secret@example.com/m", /^example\.com: a name and a password/],
    ]) {
      failed(await page.evaluate((place) => loadAndAsk(place), place), "usage", pattern, 2);
    }
    failed(await page.evaluate(() => loadAndAsk([])), "not_found", /config\.json/, 2);
  });
});

describe("a browser that does not let it run", () => {
  async function isRefused(page, reason) {
    const support = await page.evaluate(() => tiefsee.Engine.isSupported());
    assert.equal(support.supported, false);
    assert.match(support.reason, reason);
    const seen = await page.evaluate(() => loadAndAsk("demo"));
    failed(seen, "no_adapter", reason, 5);
    assert.equal(seen.error.message, support.reason);
  }

  test("for want of a graphics card, of WebGPU or of a secure page says so", async (t) => {
    const poor = await openBrowser({ webgpu: false, args: ["--host-resolver-rules=MAP insecure.test 127.0.0.1"] });
    t.after(() => poor.close());
    const { page, server, close } = await openPage(poor);
    t.after(close);
    await isRefused(page, /offers no graphics card/);
    await page.evaluate(() => delete Navigator.prototype.gpu);
    await isRefused(page, /has no WebGPU/);
    await page.goto(`${server.url.replace("127.0.0.1", "insecure.test")}/bare.html`);
    await page.waitForFunction(() => window.tiefsee);
    await isRefused(page, /https:/);
  });

  for (const [name, csp, pattern] of [
    ["forbids WebAssembly", "default-src 'self'; script-src 'self'", /Content Security Policy/i],
    ["forbids workers", "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'none'", /content security policy/i],
  ]) {
    test(`for a policy that ${name} says so`, async (t) => {
      const { page, close } = await openPage(browser, { csp });
      t.after(close);
      failed(await page.evaluate(() => loadAndAsk("demo")), "internal", pattern, 5);
    });
  }

  for (const [name, path, fault, pattern] of [
    ["worker", "/dist/worker.js", { status: 404 }, /the worker failed/],
    ["WebAssembly module", "/dist/wasm/tiefsee_bg.wasm", { status: 404 }, /WebAssembly|404/],
    ["part of the WebAssembly module", "/dist/wasm/tiefsee_bg.wasm", { endAfter: 100_000 }, /WebAssembly/],
  ]) {
    test(`because its ${name} is missing on the server`, async (t) => {
      const server = await servePackage({ faults: [[path, fault]] });
      t.after(() => server.close());
      const { page, close } = await openPage(browser, { server });
      t.after(close);
      failed(await page.evaluate(() => loadAndAsk("demo")), "internal", pattern, 5);
    });
  }
});

describe("too little room on the device", () => {
  test("a longer context than the model allows is refused", async (t) => {
    const { load } = await openModel(t, browser, files);
    failed(await load({ context: 10_000_000 }), "usage", /context/, 5);
    failed(await load({ quantize: "q1" }), "usage", /q1/, 5);
  });

  /** A worker whose device has so many bytes, and says what devices say when they are full. */
  function smallDevice(bytes) {
    const patch = `
      let left = ${bytes};
      const scopes = [];
      const { createBuffer, pushErrorScope, popErrorScope } = GPUDevice.prototype;
      GPUDevice.prototype.createBuffer = function (descriptor) {
        left -= descriptor.size;
        if (left < 0) for (const scope of scopes) scope.full ||= scope.filter === "out-of-memory";
        return createBuffer.call(this, descriptor);
      };
      GPUDevice.prototype.pushErrorScope = function (filter) {
        scopes.push({ filter, full: false });
        return pushErrorScope.call(this, filter);
      };
      GPUDevice.prototype.popErrorScope = async function () {
        const { full } = scopes.pop();
        const error = await popErrorScope.call(this);
        return full ? new GPUOutOfMemoryError("full") : error;
      };
    `;
    const path = "/dist/worker.js";
    return { [path]: patch + readFileSync(join(WEB, path), "utf8") };
  }

  for (const [name, bytes] of [["the first weights", 1000], ["all weights", 3_000_000]]) {
    test(`a device too small for ${name} is told`, async (t) => {
      const { load } = await openModel(t, browser, files, { scripts: smallDevice(bytes) });
      failed(await load(), "does_not_fit", /room/, 10);
    });
  }

  test("a device that is large enough is not", async (t) => {
    const { load } = await openModel(t, browser, files, { scripts: smallDevice(1e9) });
    answered(await load());
  });
});

describe("a network that stays away", () => {
  test("in mid-download is an error in words, and what came is kept", async (t) => {
    const { server, load, page, context } = await openModel(t, browser, listed, { scripts: hastyPackage() });
    const far = ({ range }) => Number(/\d+/.exec(range)[0]) >= 6 * CHUNK;
    server.fault(`/m/${WEIGHTS}`, { refuse: true, when: far });
    const seen = await load();
    failed(seen, "network", /model\.safetensors: the server cannot be reached; gave up after 6 tries/, 10);
    const came = rangesOf(server.log.filter(({ bytes }) => bytes > 0));
    assert.ok(came.length >= 3);
    server.heal();
    const before = server.log.length;
    await page.close();
    const again = await pageOf(t, browser, server, { context });
    answered(await again.load());
    const fetched = rangesOf(server.log.slice(before));
    assert.deepEqual([...new Set([...came, ...fetched])].length, came.length + fetched.length, "nothing is fetched again");
  });

  test("a body that stalls is asked for again", async (t) => {
    const scripts = { ...hastyPackage() };
    const path = "/dist/source/http.js";
    const { server, load } = await openModel(t, browser, listed, {
      scripts: { [path]: scripts[path].replace("?? 30_000", "?? 300") },
    });
    server.fault(`/m/${WEIGHTS}`, { stallAfter: 1000, times: 1 });
    const seen = await load();
    answered(seen);
    assert.match(seen.notices[0], /model\.safetensors: no byte came for 0\.3 s; trying again in/);
  });

  test("from the start is an error within a minute, with the usual waits", async () => {
    const { seen, tries } = await patience;
    failed(seen, "network", /tiefsee-manifest\.json: the server cannot be reached; gave up after 6 tries/, 60);
    assert.equal(seen.notices.length, 5);
    // Browsers make a request once more by themselves.
    assert.ok(tries >= 6 && tries <= 12, `${tries} requests`);
  });
});
