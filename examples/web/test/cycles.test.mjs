// Loading and unloading over and over leaves nothing behind.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { after, before, test } from "node:test";

import { openBrowser, openPage } from "./browser.mjs";

const CYCLES = 50;
/** Cycles after which caches and pools have their size. */
const WARM = 10;

let browser, opened;

before(async () => {
  browser = await openBrowser({ args: ["--user-agent=tiefsee-cycles"] });
  opened = await openPage(browser);
});

after(async () => {
  await opened?.close();
  await browser?.close();
});

/** Bytes of memory that the processes of this test's browser have to themselves. */
function residentBytes() {
  let bytes = 0;
  for (const process of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const command = readFileSync(`/proc/${process}/cmdline`, "utf8");
      if (!/--type=(gpu-process|renderer)/.test(command) || !command.includes("tiefsee-cycles")) continue;
      const [, resident, shared] = readFileSync(`/proc/${process}/statm`, "utf8").split(" ").map(Number);
      bytes += (resident - shared) * 4096;
    } catch {
      // It ended meanwhile.
    }
  }
  return bytes;
}

test(`${CYCLES} times loaded and unloaded, with flat memory`, async () => {
  const { page } = opened;
  const sizes = [];
  for (let cycle = 0; cycle < CYCLES; cycle++) {
    const tokens = await page.evaluate(async () => {
      const engine = await tiefsee.Engine.create("demo");
      const request = { messages: [{ role: "user", content: "What is 2 + 3?" }], max_tokens: 2, temperature: 0 };
      const { tokens } = await engine.chat.completions.create(request);
      await engine.unload();
      return tokens;
    });
    assert.equal(tokens.length, 2);
    sizes.push(residentBytes());
  }
  const mebibytes = (part) => Math.max(...part) / 2 ** 20;
  const [early, late] = [mebibytes(sizes.slice(WARM, 2 * WARM)), mebibytes(sizes.slice(-WARM))];
  console.log(`memory after ${WARM} to ${2 * WARM} cycles ${early.toFixed(0)} MiB, after ${CYCLES} ${late.toFixed(0)} MiB`);
  assert.ok(early > 50, "the browser's processes were not found");
  // One model that stays would be 15 MiB each time.
  assert.ok(late - early < 100, `${early} MiB grew to ${late} MiB`);
});
