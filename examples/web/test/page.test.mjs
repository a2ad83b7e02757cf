// The demo page with the engine itself and the bundled model.

import assert from "node:assert/strict";
import { join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";

import { openBrowser, WEB } from "./browser.mjs";
import { startServer } from "./server.mjs";
import { fits, Visits, WAIT } from "./visits.mjs";

const SITE = join(WEB, "site");
const SUM = "What is 27 + 48?";
/** An answer that takes a while: one can stop it, or take its device away. */
const LONG = "Sort these numbers: 38, 8, 96, 41, 70, 5.";
/** Every kernel in every format is compiled, by a processor. */
const SELF_TEST = 4 * WAIT;

let server;
let browser;
const visits = new Visits();

before(async () => {
  server = await startServer({ root: SITE });
  browser = await openBrowser();
});
after(async () => {
  await browser?.close();
  await server?.close();
});
afterEach(() => visits.end());

/** Opens the page in a fresh profile. Unless `keep`, without a service worker, which would answer for the server. */
function visit({ keep = false, home = server, by = browser, ...options } = {}) {
  return visits.open({ home, by, hosts: [server.url], serviceWorkers: keep ? "allow" : "block", ...options });
}

async function loadDemo(page) {
  await page.click("#load-demo");
  await page.waitForSelector("#chat:not([hidden])");
}

/** Asks greedily, and gives the answer when it is there. */
async function ask(page, question = SUM) {
  const before = await page.locator(".answer").count();
  await page.locator("#temperature").evaluate((input) => (input.value = "0"));
  await page.fill("#prompt", question);
  await page.press("#prompt", "Enter");
  return whole(page.locator(".answer").nth(before));
}

async function whole(answer) {
  await answer.locator(".answer-foot").waitFor();
  const text = async (part) => (await answer.locator(part).textContent({ timeout: 1000 })).trim();
  return {
    content: await text(".content"),
    thinking: await text(".thinking"),
    summary: await text(".reasoning > summary"),
    foot: await text(".answer-foot > p"),
    open: await answer.locator(".reasoning").evaluate((details) => details.open),
  };
}

describe("the page", { timeout: 400_000 }, () => {
  test("answers, shows its thinking folded, its speed, its device and its experts, and tests itself", async () => {
    const page = await visit();
    await loadDemo(page);
    assert.match(await page.textContent("#adapter"), /swiftshader/i);
    assert.ok(await page.isVisible("#software-warning"), "no warning of the software adapter");
    assert.ok(await page.isHidden("#experts-map"), "a map before there is an answer");

    // The text came in pieces if the answer grew between frames of its coming.
    await page.evaluate(() => {
      window.lengths = new Set();
      new MutationObserver(() => window.lengths.add(document.querySelector(".thinking")?.textContent.length))
        .observe(document.querySelector("#messages"), { childList: true, subtree: true });
    });
    const { content, thinking, summary, foot, open } = await ask(page);
    assert.match(content, /\b75\b/);
    assert.ok(thinking.length > 10, "no thinking");
    assert.equal(open, false, "the thinking is not folded");
    assert.match(summary, /^Thought for [\d.]+ m?s, \d+ tokens$/);
    assert.match(foot, /^\d+ tokens · [\d.,]+ tokens\/s · [\d.]+ m?s$/);
    assert.match(await page.textContent("#rate"), /^[\d.,]+ tokens\/s$/);
    assert.ok((await page.evaluate(() => window.lengths.size)) > 5, "the answer did not come in pieces");

    // The token that is shown moves with the keys, so the map has to change.
    const picture = () => page.locator("#experts canvas").evaluate((canvas) => canvas.toDataURL());
    const colours = await page.locator("#experts canvas").evaluate((canvas) => {
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      return new Set(new Uint32Array(data.buffer)).size;
    });
    assert.ok(colours > 10, `${colours} colours on the map`);
    const first = await picture();
    await page.press("#experts canvas", "Home");
    await page.waitForFunction(() => document.querySelector("#experts-place").value.startsWith("1 of "));
    assert.notEqual(await picture(), first);
    assert.equal(await page.locator(".token.shown").count(), 1);
    await page.press("#experts canvas", "Escape");
    await page.selectOption("#experts-view", "prompt");
    await page.waitForFunction((before) => document.querySelector("#experts canvas").toDataURL() !== before, first);

    await page.click("#self-test");
    await page.waitForSelector("#self-test-result:is(.passed, .failed)", { timeout: SELF_TEST });
    const [, checks] = /^All (\d+) checks passed/.exec(await page.textContent("#self-test-result")) ?? [];
    assert.ok(Number(checks) > 40, await page.textContent("#self-test-result"));
    assert.equal(await page.locator("#checks tbody tr").count(), Number(checks));
    assert.equal(await page.locator("#checks td.passed").count(), Number(checks));
  });

  test("an answer can be stopped, and the next one is whole", async () => {
    const page = await visit();
    await loadDemo(page);
    await page.evaluate(() => {
      const box = document.querySelector("#messages");
      const watch = new MutationObserver(() => {
        if (document.querySelectorAll(".token").length < 5) return;
        watch.disconnect();
        document.querySelector("#stop").click();
      });
      watch.observe(box, { childList: true, subtree: true });
    });
    const stopped = await ask(page, LONG);
    assert.match(stopped.foot, /stopped$/);
    const next = await ask(page, LONG);
    assert.ok(next.thinking.startsWith(stopped.thinking), "the stopped answer began otherwise");
    assert.ok(next.thinking.length > stopped.thinking.length, "nothing was stopped");
    assert.equal(await page.isHidden("#stop"), true);
  });

  test("keys are enough", async () => {
    const page = await visit();
    await page.waitForSelector("#chooser:not([hidden])");
    const focused = () => page.evaluate(() => document.activeElement.id);
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement.className), "skip");
    await page.keyboard.press("Enter");
    for (let presses = 0; presses < 6 && (await focused()) !== "load-demo"; presses++) await page.keyboard.press("Tab");
    assert.equal(await focused(), "load-demo");
    await page.keyboard.press("Enter");
    await page.waitForSelector("#chat:not([hidden])");
    assert.equal(await focused(), "prompt");
    await page.keyboard.type(SUM);
    await page.keyboard.press("Enter");
    await page.locator(".answer-foot").waitFor();
    assert.equal(await focused(), "prompt");
    // The thinking lies before the box to write in.
    const onThinking = () => page.evaluate(() => document.activeElement.parentElement.className === "reasoning");
    for (let presses = 0; presses < 6 && !(await onThinking()); presses++) await page.keyboard.press("Shift+Tab");
    await page.keyboard.press("Enter");
    assert.ok(await page.isVisible(".thinking"), "Enter does not unfold the thinking");
  });

  test("fits on a phone", async () => {
    const page = await visit({ viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true });
    await page.waitForSelector("#chooser:not([hidden])");
    await page.locator("details").evaluateAll((all) => all.forEach((details) => (details.open = true)));
    await fits(page, "the chooser");
    await loadDemo(page);
    await ask(page);
    await page.locator("details").evaluateAll((all) => all.forEach((details) => (details.open = true)));
    await page.click("#self-test");
    await page.waitForSelector("#self-test-result.passed", { timeout: SELF_TEST });
    await fits(page, "the conversation");
    const [room, table] = await page.locator("#checks").evaluate((box) => [box.clientWidth, box.scrollWidth]);
    assert.ok(table <= room, `the table of the self-test: ${table} pixels wide, ${room} there`);
  });

  test("answers again with no server, after the first visit", async () => {
    const home = await startServer({ root: SITE });
    try {
      const page = await visit({ keep: true, home });
      await page.evaluate(async () => {
        await navigator.serviceWorker.ready;
        if (navigator.serviceWorker.controller) return;
        await new Promise((resolve) => navigator.serviceWorker.addEventListener("controllerchange", resolve, { once: true }));
      });
      // Nothing was loaded yet: the model too comes from what the service worker keeps.
      await home.close();
      await page.reload();
      await loadDemo(page);
      assert.match((await ask(page)).content, /\b75\b/);
    } finally {
      await home.close().catch(() => undefined);
    }
  });

  test("a link can name the model", async () => {
    const page = await visit({ address: "/#model=demo" });
    await page.waitForSelector("#chat:not([hidden])");
    assert.equal(await page.textContent("#model-name"), "Bundled model");
  });

  test("a model that is not there is told of in words, and another can be chosen", async () => {
    const page = await visit({ expected: /404/ });
    await page.fill("#model-url", `${server.url}/nowhere/`);
    await page.click("#load-url");
    const error = page.locator("#loading-error .error");
    await error.waitFor();
    assert.equal(await error.getAttribute("data-code"), "not_found");
    assert.match(await error.locator(".what").textContent(), /config\.json|nowhere/);
    await page.click("#cancel");
    await loadDemo(page);
  });

  test("works in another site's frame", async () => {
    const elsewhere = server.url.replace("127.0.0.1", "localhost");
    server.files.set("/framed.html", `<!doctype html><link rel="icon" href="data:,"><iframe src="${server.url}/#model=demo" width="900" height="700"></iframe>`);
    const page = await visit({ home: { url: elsewhere }, address: "/framed.html" });
    const frame = page.frames()[1];
    await frame.waitForSelector("#chat:not([hidden])", { timeout: WAIT });
    assert.match((await ask(frame)).content, /\b75\b/);
  });

  test("a lost device comes back, and the answer is the same", async () => {
    server.hold("/tiefsee/wasm/tiefsee_bg.wasm");
    const page = await visit();
    const started = page.waitForEvent("worker");
    await page.click("#load-demo");
    // Before the engine has its module it cannot ask for a device.
    await (await started).evaluate(() => {
      const { requestDevice } = GPUAdapter.prototype;
      GPUAdapter.prototype.requestDevice = async function (...given) {
        return (self.device = await requestDevice.apply(this, given));
      };
      const { submit } = GPUQueue.prototype;
      self.submitsLeft = Infinity;
      GPUQueue.prototype.submit = function (...given) {
        submit.apply(this, given);
        if (--self.submitsLeft === 0) self.device.destroy();
      };
    });
    server.release("/tiefsee/wasm/tiefsee_bg.wasm");
    await page.waitForSelector("#chat:not([hidden])");
    const calm = await ask(page, LONG);
    await page.click("#new-chat");
    await page.workers()[0].evaluate(() => (self.submitsLeft = 20));
    const disturbed = await ask(page, LONG);
    const log = await page.textContent("#log");
    assert.match(log, /The device was lost.*The device is back/s);
    assert.match(await page.textContent("#status"), /back/);
    assert.deepEqual([disturbed.thinking, disturbed.content], [calm.thinking, calm.content]);
    assert.match(await page.textContent("#figures"), /1devices lost|devices lost and reopened1/);
  });

  test("without WebGPU it says so, and what usually helps", async () => {
    const bare = await openBrowser({ webgpu: false });
    try {
      const page = await visit({ by: bare, expected: /adapter/i });
      await page.waitForSelector("#unsupported:not([hidden])");
      assert.match(await page.textContent("#unsupported-reason"), /WebGPU/);
      assert.ok(await page.isHidden("#panels"), "panels that are of no use");
      assert.ok(await page.isHidden("#chooser"), "models that cannot run can be chosen");
    } finally {
      await visits.end();
      await bare.close();
    }
  });
});
