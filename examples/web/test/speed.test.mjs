// A token in the browser takes at most a quarter longer than natively, on the same driver.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { onSwiftShader, openBrowser, openPage } from "./browser.mjs";
import { nativeAnswer } from "./native.mjs";

const QUESTION = "What is 123 + 456?";
const ROUNDS = 8;
const LIMIT = 1.25;

let browser, opened;

before(async () => {
  browser = await openBrowser();
  opened = await openPage(browser);
});

after(async () => {
  await opened?.close();
  await browser?.close();
});

const perToken = ({ timings }) => 1000 / timings.decode_tokens_per_second;
const best = (times) => Math.min(...times);

test(`time per token is at most ${LIMIT} times the native one`, async () => {
  const { page } = opened;
  const adapter = await page.evaluate(async () => {
    window.engine = await tiefsee.Engine.create("demo");
    return engine.adapter;
  });
  onSwiftShader(adapter);
  const here = [];
  const there = [];
  // In turn, and the best of each: whatever else the machine does only adds.
  for (let round = 0; round < ROUNDS; round++) {
    for (let twice = 0; twice < 2; twice++) {
      here.push(perToken(await page.evaluate((content) => engine.chat.completions.create({
        messages: [{ role: "user", content }],
        temperature: 0,
      }), QUESTION)));
    }
    there.push(perToken(await nativeAnswer(QUESTION)));
  }
  const ratio = best(here) / best(there);
  console.log(`best time per token: ${best(here).toFixed(2)} ms here, ${best(there).toFixed(2)} ms natively, ratio ${ratio.toFixed(2)}`);
  assert.ok(ratio <= LIMIT, `${ratio}`);
});
