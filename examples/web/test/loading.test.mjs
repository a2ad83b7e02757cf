// Loading a model in a browser, from everywhere it may lie, and loading it again from what is kept.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import { answered, failed, openBrowser, openPage, servePackage, WEB } from "./browser.mjs";
import {
  allRanges,
  bytesOf,
  CHUNK,
  demoFiles,
  generator,
  hastyPackage,
  holdFrom,
  MANIFEST,
  openModel,
  pageOf,
  rangesOf,
  requestsFor,
  serve,
  sharded,
  until,
  WEIGHTS,
  wholeDemo,
  withManifest,
  withTensor,
} from "./models.mjs";
import { CORS, startServer } from "./server.mjs";

const files = demoFiles();
const size = files[WEIGHTS].length;
const listed = withManifest(files);
/** Of two chunks where no manifest says otherwise. */
const whole = wholeDemo();

let browser;
before(async () => {
  browser = await openBrowser();
});
after(() => browser.close());

/** Asserts that no phase goes back, and that each of `phases` is there and ends with all. */
function complete(progress, phases = ["download", "verify", "upload", "compile"]) {
  const latest = {};
  for (const [phase, loaded, total] of progress) {
    const [before, beforeTotal] = latest[phase] ?? [0, 0];
    assert.ok(loaded >= before && total >= beforeTotal && loaded <= total, `${phase}: ${loaded} of ${total} after ${before} of ${beforeTotal}`);
    latest[phase] = [loaded, total];
  }
  assert.deepEqual(Object.keys(latest).sort(), [...phases].sort());
  for (const [phase, [loaded, total]] of Object.entries(latest)) assert.equal(loaded, total, phase);
  assert.deepEqual(latest.compile, [1, 1]);
  return Object.fromEntries(Object.entries(latest).map(([phase, [, total]]) => [phase, total]));
}

function lengthOf(range) {
  const [, start, end] = /(\d+)-(\d+)/.exec(range);
  return end - start + 1;
}

describe("from a folder's URL", () => {
  test("with the manifest that `tiefsee manifest` writes", async (t) => {
    const folder = mkdtempSync(join(tmpdir(), "tiefsee-"));
    t.after(() => rmSync(folder, { recursive: true }));
    for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
    execFileSync(process.env.TIEFSEE ?? join(WEB, "../../target/release/tiefsee"), ["manifest", folder]);
    const manifest = readFileSync(join(folder, MANIFEST), "utf8");

    const { server, load, folder: url } = await openModel(t, browser, { ...files, [MANIFEST]: manifest });
    const seen = await load();
    answered(seen);
    assert.equal(seen.model, "m");
    assert.deepEqual(seen.notices, []);
    const totals = complete(seen.progress);
    const all = Object.values(files).reduce((sum, { length }) => sum + length, 0);
    assert.equal(totals.verify, all, `${url}: every byte is compared`);
    assert.equal(totals.download, all + manifest.length);
    assert.ok(totals.upload > 0.9 * size);
    assert.equal(bytesOf(server.log), size, "no byte is fetched twice");
  });

  test("without a manifest", async (t) => {
    const { server, load } = await openModel(t, browser, whole);
    const seen = await load();
    answered(seen);
    assert.deepEqual(seen.notices, []);
    // What is read back from where it is kept is compared with what was written there.
    complete(seen.progress);
    assert.equal(bytesOf(server.log), whole[WEIGHTS].length);
  });

  test("in shards", async (t) => {
    const { load } = await openModel(t, browser, withManifest(sharded(files)));
    const seen = await load();
    answered(seen);
    complete(seen.progress);
  });

  test("with a slash, relative to the page, and with a name that is no proper escape", async (t) => {
    const { server, page } = await openModel(t, browser, {}, { scripts: hastyPackage() });
    serve(server, listed, "/models/100%");
    // The server decodes what it is asked for; the browser asks for the sign as it is.
    const seen = await page.evaluate(() => loadAndAsk("models/100%25/"));
    answered(seen);
    assert.equal(seen.model, "100%");
    const broken = await page.evaluate(() => loadAndAsk("models/absent%/"));
    failed(broken, "network", /absent%/);
  });
});

describe("again, from what is kept", () => {
  test("nothing is fetched but what tells whether it is still the same", async (t) => {
    const { server, load, page, folder } = await openModel(t, browser, listed);
    answered(await load());
    const before = server.log.length;
    await page.reload();
    await page.waitForFunction(() => window.tiefsee);
    const seen = await load();
    answered(seen);
    complete(seen.progress);
    const again = server.log.slice(before).filter(({ path }) => path.startsWith("/m/"));
    assert.ok(again.reduce((sum, { bytes }) => sum + bytes, 0) < 10, JSON.stringify(again.map(({ path, bytes }) => [path, bytes])));

    const kept = await page.evaluate(() => tiefsee.Engine.kept());
    const all = Object.values(listed).reduce((sum, { length }) => sum + length, 0);
    assert.deepEqual(kept, [{ url: folder, bytes: all }]);
    await page.evaluate((url) => tiefsee.Engine.forget(url), folder);
    assert.deepEqual(await page.evaluate(() => tiefsee.Engine.kept()), []);
    await load();
    assert.equal(bytesOf(server.log), 2 * size, "what was forgotten is fetched again");
  });

  test("without keeping, nothing is kept", async (t) => {
    const { load, page } = await openModel(t, browser, listed);
    answered(await load({ keep: false }));
    assert.deepEqual(await page.evaluate(() => tiefsee.Engine.kept()), []);
  });

  for (const way of ["reloaded", "closed"]) {
    test(`after the page was ${way} in mid-download, only what is missing is fetched`, async (t) => {
      const { server, page, context, load, folder } = await openModel(t, browser, listed);
      const held = holdFrom(server, 9 * CHUNK);
      load().catch(() => {});
      await held;
      const done = () => requestsFor(server.log).filter(({ range, bytes }) => bytes === lengthOf(range));
      // A chunk is kept shortly after it came.
      const keptBytes = async () => (await page.evaluate(() => tiefsee.Engine.kept()))[0]?.bytes ?? 0;
      const small = Object.entries(listed).reduce((sum, [name, { length }]) => sum + (name === WEIGHTS ? 0 : length), 0);
      const weights = async () => (await keptBytes()) - small;
      await until(async () => (await weights()) >= 4 * CHUNK && (await weights()) === done().reduce((sum, { bytes }) => sum + bytes, 0), "chunks are kept");
      const finished = done().map(({ range }) => range.replace("bytes=", ""));

      let again = { load };
      if (way === "reloaded") {
        await page.reload();
        await page.waitForFunction(() => window.tiefsee);
      } else {
        await page.close();
        again = await pageOf(t, browser, server, { context });
      }
      server.heal();
      server.release(`/m/${WEIGHTS}`);
      const before = server.log.length;
      const seen = await again.load();
      answered(seen);
      complete(seen.progress);
      assert.deepEqual(seen.notices, []);
      const missing = allRanges(size).filter((range) => !finished.includes(range));
      assert.deepEqual(rangesOf(server.log.slice(before)), missing, folder);
    });
  }

  test("while connections break at random bytes", async (t) => {
    const { server, load } = await openModel(t, browser, listed, { scripts: hastyPackage() });
    const random = generator(7);
    for (const range of allRanges(size)) {
      const end = `-${range.split("-")[1]}`;
      for (let cuts = random(4); cuts > 0; cuts--) {
        server.fault(`/m/${WEIGHTS}`, { times: 1, cutAfter: random(CHUNK / 2), when: ({ range }) => range.endsWith(end) });
      }
    }
    const seen = await load();
    answered(seen);
    complete(seen.progress);
    assert.ok(seen.notices.length >= 10, `${seen.notices.length} notices`);
    for (const notice of seen.notices) assert.match(notice, /^model\.safetensors: .*; trying again in [\d.]+ s$/);
    assert.ok(requestsFor(server.log).length > allRanges(size).length + 10);
  });

  test("when the server is gone", async (t) => {
    for (const model of [listed, whole]) {
      const models = await startServer({ headers: CORS });
      serve(models, model);
      const server = await servePackage();
      t.after(() => server.close());
      const { load } = await pageOf(t, browser, server, { folder: `${models.url}/m` });
      answered(await load());
      await models.close();
      const seen = await load();
      answered(seen);
      assert.deepEqual(seen.notices, ["The server cannot be reached: using the files kept on this device"]);
    }
  });

  test("a model that changed on the server is loaded anew", async (t) => {
    const { server, load } = await openModel(t, browser, listed);
    answered(await load());
    // Its head scores all tokens alike.
    const other = withTensor(files, "lm_head.weight", 0);
    for (const model of [withManifest(other), other]) {
      serve(server, model);
      const before = server.log.length;
      const seen = await load();
      assert.equal(seen.error, undefined);
      assert.doesNotMatch(seen.answer, /75/);
      const fetched = bytesOf(server.log.slice(before));
      if (model === other) assert.ok(fetched >= size && fetched < size + 10, "without a manifest it is fetched whole");
      else assert.ok(fetched > 0 && fetched <= 2 * CHUNK, `with a manifest ${fetched} bytes are fetched: the parts that changed`);
    }
    serve(server, files);
    answered(await load());
  });

  test("two pages at once fetch each chunk once", async (t) => {
    for (const model of [listed, whole]) {
      const first = await openModel(t, browser, model);
      const { server, context } = first;
      const second = await pageOf(t, browser, server, { context });
      for (const seen of await Promise.all([first.load(), second.load()])) {
        answered(seen);
        assert.deepEqual(seen.notices, []);
      }
      if (model === listed) assert.deepEqual(rangesOf(server.log), allRanges(size));
      else assert.ok(bytesOf(server.log) <= whole[WEIGHTS].length + 1, "the second page asks for one byte, to see that nothing changed");
    }
  });
});

describe("where there is no room", () => {
  /** Gives the page's origin so many bytes. */
  async function limit({ page, context, server }, quotaSize) {
    const session = await context.newCDPSession(page);
    await session.send("Storage.overrideQuotaForOrigin", { origin: server.url, quotaSize });
  }

  const isCached = ({ headers }) => headers["cache-control"] === undefined;

  const NO_ROOM = /^There is no room left to keep \S+\/m on this device \(\d+ MB free of \d+ MB\): it is loaded without keeping, and downloaded again next time$/;

  test("it is loaded without keeping, and says so once", async (t) => {
    const opened = await openModel(t, browser, listed);
    await limit(opened, 1_000_000);
    const seen = await opened.load();
    answered(seen);
    assert.equal(seen.notices.length, 1, seen.notices.join("\n"));
    assert.match(seen.notices[0], NO_ROOM);
    assert.ok(requestsFor(opened.server.log).slice(-5).every(isCached), "what is wanted again may be in the browser's own cache");
  });

  test("also when it ends in mid-download", async (t) => {
    const opened = await openModel(t, browser, listed);
    const { server } = opened;
    const held = holdFrom(server, 8 * CHUNK);
    const loading = opened.load();
    await held;
    await limit(opened, 1_000_000);
    server.heal();
    server.release(`/m/${WEIGHTS}`);
    const seen = await loading;
    answered(seen);
    assert.equal(seen.notices.length, 1, seen.notices.join("\n"));
    assert.match(seen.notices[0], NO_ROOM);
    assert.ok(requestsFor(server.log).slice(-2).every(isCached), "what is wanted again may be in the browser's own cache");
  });
});

describe("from the user's own files", () => {
  async function choose(t, names) {
    const folder = mkdtempSync(join(tmpdir(), "tiefsee-"));
    t.after(() => rmSync(folder, { recursive: true }));
    for (const name of names) writeFileSync(join(folder, name), files[name]);
    const opened = await openPage(browser);
    t.after(() => opened.close());
    await opened.page.evaluate(() => document.body.insertAdjacentHTML("beforeend", '<input type="file" multiple>'));
    await opened.page.setInputFiles("input", names.map((name) => join(folder, name)));
    const before = opened.server.log.length;
    const seen = await opened.page.evaluate(() => loadAndAsk(document.querySelector("input").files));
    return { seen, asked: opened.server.log.slice(before).map(({ path }) => path) };
  }

  test("no server is asked", async (t) => {
    const { seen, asked } = await choose(t, Object.keys(files));
    answered(seen);
    assert.equal(seen.model, "files");
    assert.deepEqual(asked.filter((path) => !path.startsWith("/dist/")), []);
  });

  test("what is missing among them is named", async (t) => {
    const { seen } = await choose(t, Object.keys(files).filter((name) => name !== "tokenizer.json"));
    failed(seen, "not_found", /tokenizer\.json/, 5);
  });
});

describe("wherever the page is", () => {
  test("under a strict policy and without isolation", async (t) => {
    const csp = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'";
    const { page, close } = await openPage(browser, { csp });
    t.after(close);
    assert.equal(await page.evaluate(() => crossOriginIsolated), false);
    answered(await page.evaluate(() => loadAndAsk("demo")));
  });

  test("in a frame of another site", async (t) => {
    const inner = await servePackage();
    t.after(() => inner.close());
    const outer = await startServer({ files: { "/index.html": `<iframe src="${inner.url}/bare.html"></iframe>` } });
    t.after(() => outer.close());
    const context = await browser.newContext();
    t.after(() => context.close());
    const page = await context.newPage();
    // By another name it is another site, and not only another origin.
    await page.goto(`${outer.url.replace("127.0.0.1", "localhost")}/`);
    const frame = page.frames()[1];
    await frame.waitForFunction(() => window.tiefsee);
    assert.equal(await frame.evaluate(() => location.ancestorOrigins[0].includes("localhost")), true);
    answered(await frame.evaluate(() => loadAndAsk("demo")));
  });

  test("with the package on a server of its own", async (t) => {
    const network = await startServer({ root: WEB, headers: CORS });
    t.after(() => network.close());
    const { page, close } = await openPage(browser);
    t.after(close);
    const seen = await page.evaluate(async (url) => {
      const { Engine } = await import(`${url}/dist/index.js`);
      const engine = await Engine.create("demo");
      return { adapter: engine.adapter, answer: await ask(engine) };
    }, network.url);
    answered(seen);
  });
});
