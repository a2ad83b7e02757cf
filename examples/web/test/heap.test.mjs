// A checkpoint larger than what the WebAssembly memory may take: it goes through in pieces.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { onSwiftShader, openBrowser, openPage } from "./browser.mjs";
import { writeNoiseModel } from "./noise-model.mjs";
import { CORS, startServer } from "./server.mjs";

const MIB = 1024 * 1024;

let folder;
before(() => {
  folder = mkdtempSync(join(tmpdir(), "tiefsee-"));
});
after(() => rmSync(folder, { recursive: true }));

test("a checkpoint of more than 100 MB loads through less than 64 MiB and two chunks", async (t) => {
  const bytes = writeNoiseModel(folder);
  assert.ok(bytes >= 100e6, `${bytes} bytes`);
  const models = await startServer({
    root: folder,
    headers: CORS,
  });
  t.after(() => models.close());
  const browser = await openBrowser();
  t.after(() => browser.close());
  const { page, close } = await openPage(browser);
  t.after(close);
  const seen = await page.evaluate(async (url) => {
    const engine = await tiefsee.Engine.create(url, { context: 256 });
    const reply = await engine.completions.create({ prompt: "1 + 1", temperature: 0, max_tokens: 1 });
    return { adapter: engine.adapter, tokens: reply.tokens, stats: await engine.stats() };
  }, models.url);
  onSwiftShader(seen.adapter);
  assert.equal(seen.tokens.length, 1);
  assert.ok(seen.stats.heapBytes < 64 * MIB + 2 * 4 * MIB, `${seen.stats.heapBytes} bytes of heap`);
  t.diagnostic(`${bytes} bytes of weights, ${seen.stats.heapBytes} bytes of heap`);
});
