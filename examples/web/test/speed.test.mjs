// A token in the browser takes at most a quarter longer than natively, on the same driver.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { onSwiftShader, openBrowser, openPage } from "./browser.mjs";
import { native } from "./native.mjs";
import { writeNoiseModel } from "./noise-model.mjs";
import { CORS, startServer } from "./server.mjs";

const ROUNDS = 8;
const MOST_ROUNDS = 24;
const LIMIT = 1.25;

let browser, folder, models, opened;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "tiefsee-"));
  writeNoiseModel(folder);
  models = await startServer({
    root: folder,
    headers: CORS,
  });
  browser = await openBrowser();
  opened = await openPage(browser);
});

after(async () => {
  await opened?.close();
  await browser?.close();
  await models?.close();
  rmSync(folder, { recursive: true });
});

const perToken = ({ timings }) => 1000 / timings.decode_tokens_per_second;
const best = (times) => Math.min(...times);

/**
 * The best time per token here and natively, in milliseconds, by turns: whatever else the machine does only
 * adds to it. On a busy machine it takes more rounds until both have had a quiet moment.
 */
async function compare(place, path, prompt, tokens) {
  const { page } = opened;
  const adapter = await page.evaluate(async (place) => {
    window.engine = await tiefsee.Engine.create(place, { context: 512 });
    return engine.adapter;
  }, place);
  onSwiftShader(adapter);
  const request = { prompt, max_tokens: tokens, temperature: 0 };
  const given = ["run", path, "--raw", "--json", "--temperature", "0", "--ctx", "512", "--max-tokens", `${tokens}`, prompt];
  const here = [];
  const there = [];
  const ratio = () => best(here) / best(there);
  for (let round = 0; round < MOST_ROUNDS && (round < ROUNDS || ratio() > LIMIT); round++) {
    here.push(perToken(await page.evaluate((request) => engine.completions.create(request), request)));
    there.push(perToken(JSON.parse(await native(...given))));
  }
  await page.evaluate(() => engine.unload());
  const times = `${best(here).toFixed(2)} ms here, ${best(there).toFixed(2)} ms natively`;
  return { ratio: ratio(), said: `${times}, ratio ${ratio().toFixed(2)}, best of ${there.length} rounds` };
}

test(`a token of a checkpoint of 100 MB takes at most ${LIMIT} times as long as natively`, async (t) => {
  const { ratio, said } = await compare(models.url, folder, "1 + 1", 24);
  t.diagnostic(said);
  assert.ok(ratio <= LIMIT, said);
});

test("a token of the bundled model, which is mostly launches, takes at most half as long again", async (t) => {
  const { ratio, said } = await compare("demo", "demo", "What is 123 + 456?", 100);
  t.diagnostic(said);
  assert.ok(ratio <= 1.5, said);
});
