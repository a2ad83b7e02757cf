// The chat page as `tiefsee serve` has it, with the bundled model.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, afterEach, before, describe, test } from "node:test";

import { openBrowser, WEB } from "./browser.mjs";
import { PROGRAM, REPOSITORY } from "./native.mjs";
import { Visits } from "./visits.mjs";

const SUM = "What is 27 + 48?";
/** An answer that takes a while. */
const LONG = "Sort these numbers: 38, 8, 96, 41, 70, 5.";

const visits = new Visits();
let browser;
let server;

/** Starts the program on a free port; its `url` once it listens. */
async function serve(...given) {
  // The script that chooses the driver hands no signal on, so the program says who it is.
  const command = ["tests/on.sh", "swiftshader", "all", "sh", "-c", 'echo "process $$" >&2; exec "$0" "$@"', PROGRAM, "serve", "demo", "--port", "0", ...given];
  const child = spawn("sh", command, { cwd: REPOSITORY, stdio: ["ignore", "ignore", "pipe"] });
  const ended = new Promise((resolve) => child.on("exit", resolve));
  let said = "";
  for await (const line of createInterface(child.stderr)) {
    said += `${line}\n`;
    if (line.includes("listening on")) break;
  }
  const [, process_, url] = /process (\d+).*listening on (http:\S+)/s.exec(said) ?? [];
  assert.ok(url, said);
  // Nobody reads on, but it may say more.
  child.stderr.resume();
  return { url, close: () => (process.kill(Number(process_), "SIGTERM"), ended) };
}

before(async () => {
  [browser, server] = await Promise.all([openBrowser({ webgpu: false }), serve()]);
  while ((await fetch(`${server.url}/ready`)).status === 503) await new Promise((resolve) => setTimeout(resolve, 100));
});
after(async () => {
  await browser?.close();
  assert.equal(await server?.close(), 0, "it did not end well");
});
afterEach(() => visits.end());

/** Opens the page and waits until it knows the model; answers are greedy, so always the same. */
async function visit(options) {
  const page = await visits.open({ home: server, by: browser, ...options });
  await met(page);
  await page.locator("#temperature").evaluate((input) => (input.value = "0"));
  return page;
}

const met = (page) => page.waitForFunction(() => document.querySelector("#model-name").textContent === "demo");

async function ask(page, question) {
  await page.fill("#prompt", question);
  await page.press("#prompt", "Enter");
  return answered(page);
}

async function answered(page) {
  const answer = page.locator(".answer").last();
  await answer.locator(".answer-foot").waitFor();
  const text = async (part) => (await answer.locator(part).last().textContent()).trim();
  return { thinking: await text(".thinking"), content: await text(".content"), summary: await text("summary"), foot: await text(".answer-foot > p") };
}

describe("the server's page", { timeout: 170_000 }, () => {
  test("every file of it is served, and may ask nobody else", async () => {
    const files = readdirSync(join(REPOSITORY, "src/server/page")).filter((file) => !["index.html", "package.json"].includes(file));
    assert.ok(files.length > 10, files.join(" "));
    const shared = ["page.css", "chat.css", "icon.svg", "starters.js"].map((file) => `page/${file}`);
    for (const path of ["", ...files.map((file) => `page/${file}`), ...shared]) {
      const response = await fetch(`${server.url}/${path}`);
      assert.equal(response.status, 200, path);
      assert.match(response.headers.get("content-security-policy"), /^default-src 'none'; script-src 'self'; style-src 'self';/);
      assert.ok((await response.text()).length > 0, path);
    }
    const page = await visits.open({ home: server, by: browser, expected: /Content.Security.Policy/ });
    await met(page);
    const allowed = await page.evaluate(() => {
      const script = document.createElement("script");
      script.textContent = "window.inline = true";
      document.body.append(script);
      return window.inline === true;
    });
    assert.equal(allowed, false);
  });

  test("asks, sees the thinking stream, asks again, and a reload keeps it", async () => {
    const page = await visit();
    await page.evaluate(() => {
      window.lengths = new Set();
      window.opened = new Set();
      new MutationObserver(() => {
        window.lengths.add(document.querySelector(".thinking")?.textContent.length);
        if (!document.querySelector(".content").textContent) window.opened.add(document.querySelector(".reasoning")?.open);
      }).observe(document.querySelector("#messages"), { childList: true, subtree: true, characterData: true });
    });
    const first = await ask(page, SUM);
    assert.match(first.content, /\b75\b/);
    assert.match(first.summary, /^Thought for [\d.]+ m?s, \d+ tokens$/);
    assert.match(first.foot, /^\d+ tokens · [\d.,]+ tokens\/s · [\d.]+ m?s$/);
    assert.equal(await page.locator(".reasoning").evaluate(({ open }) => open), false);
    const { lengths, opened } = await page.evaluate(() => ({ lengths: window.lengths.size, opened: [...window.opened] }));
    assert.ok(lengths > 3, `the thinking came in ${lengths} pieces`);
    assert.ok(opened.includes(true), "the thinking was folded while it came");
    await page.click(".again");
    const second = await answered(page);
    assert.deepEqual([second.thinking, second.content], [first.thinking, first.content]);
    await page.reload();
    await met(page);
    assert.deepEqual(await answered(page), second);
    assert.deepEqual(await page.locator("#conversations .open").allTextContents(), [SUM]);
  });

  test("stops, and the next answer is whole", async () => {
    const page = await visit();
    await page.evaluate(() => {
      const watch = new MutationObserver(() => {
        if (!document.querySelector(".thinking")?.textContent) return;
        watch.disconnect();
        document.querySelector("#stop").click();
      });
      watch.observe(document.querySelector("#messages"), { childList: true, subtree: true });
    });
    const stopped = await ask(page, LONG);
    assert.match(stopped.foot, /stopped$/);
    await page.click(".again");
    const whole = await answered(page);
    assert.ok(whole.thinking.startsWith(stopped.thinking), "the stopped answer began otherwise");
    assert.ok(whole.thinking.length > stopped.thinking.length, "nothing was stopped");
  });

  test("what the settings say counts", async () => {
    const page = await visit({ expected: /400/ });
    await page.locator("#max-tokens").evaluate((input) => (input.value = "4"));
    assert.match((await ask(page, SUM)).foot, /^4 tokens .*ended by the limit of tokens$/);
    await page.locator("#temperature").evaluate((input) => (input.value = "-3"));
    await page.click(".again");
    await page.waitForSelector(".error");
    assert.match(await page.locator(".error").innerText(), /temperature.*Change what was asked for/s);
  });

  test("asks for the key", async () => {
    const closed = await serve("--api-key", "sesame");
    try {
      // It may well be loading yet: the page waits.
      const page = await visits.open({ home: closed, by: browser, expected: /401|503/ });
      await page.waitForSelector("#key-dialog[open]");
      await page.keyboard.type("sesame");
      await page.keyboard.press("Enter");
      await met(page);
      await page.locator("#temperature").evaluate((input) => (input.value = "0"));
      assert.match((await ask(page, SUM)).content, /\b75\b/);
      await visits.end();
    } finally {
      await closed.close();
    }
  });
});
