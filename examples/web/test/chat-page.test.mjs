// The page of `tiefsee serve`, with a server that says what a test wants.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";

import { openBrowser } from "./browser.mjs";
import { refusal, startMock } from "./mock.mjs";
import { fits, Visits, WAIT } from "./visits.mjs";

const visits = new Visits();
const EVIL = [
  '<img src="https://evil.example/x.png" onerror="window.hacked = 1">',
  "<script>window.hacked = 1</script>",
  "[click](javascript:window.hacked=1)",
  "[click](data:text/html,<script>parent.hacked=1</script>)",
  "![picture](https://evil.example/y.png)",
  "<svg onload=alert(1)></svg> <iframe src=https://evil.example></iframe>",
  "```\"><script>window.hacked = 1</script>\n</code></pre><script>window.hacked = 1</script>\n```",
  "| <b onclick=alert(1)>x</b> | `<i>` |\n|---|---|\n| <script>window.hacked = 1</script> | 2 |",
].join("\n\n");

let server;
let browser;

before(async () => {
  browser = await openBrowser({ webgpu: false });
});
after(() => browser?.close());
afterEach(async () => {
  await visits.end();
  await server.close();
});

/** Pieces of a text that come one after the other. */
const pieces = (text, kind = "content") => text.match(/[\s\S]{1,3}/g).map((part) => ({ [kind]: part }));

/** Thinks, then says again what it was asked. */
const echo = ({ messages }) => [...pieces("Let me see.", "reasoning"), ...pieces(`You said: **${messages.at(-1).content}**`), { end: "stop" }];

/** A promise with what resolves it. */
function gate() {
  let open;
  const opened = new Promise((resolve) => (open = resolve));
  return { open, opened };
}

async function visit({ plan = echo, id, gate, met = true, ...options } = {}) {
  server = await startMock({ plan, id });
  server.gate = gate ?? server.gate;
  const page = await visits.open({ home: server, by: browser, ...options });
  if (met) await page.waitForFunction(() => document.querySelector("#model-name").textContent);
  return page;
}

async function ask(page, question) {
  await page.fill("#prompt", question);
  await page.press("#prompt", "Enter");
}

/** The last answer when it is there. */
async function answered(page) {
  const answer = page.locator(".answer").last();
  await answer.locator(".answer-foot").waitFor();
  return {
    content: await answer.locator(".content").innerText(),
    foot: await answer.locator(".answer-foot > p").last().innerText(),
    summary: (await answer.locator("summary").count()) > 0 ? await answer.locator("summary").innerText() : "",
    open: await answer.locator(".reasoning").evaluateAll((all) => all.some(({ open }) => open)),
  };
}

/** Opens a conversation that is listed, and is back when it is shown: it may have to be read first. */
async function openListed(page, title) {
  await page.getByRole("button", { name: title, exact: true }).click();
  await page.waitForFunction((title) => document.title.startsWith(title), title);
}

const titles = (page) => page.locator("#conversations .open").evaluateAll((all) => all.map(({ title }) => title));

describe("the page of the server", { timeout: 300_000 }, () => {
  test("shows the thinking while it comes, folds it, and says what it took", async () => {
    const { open, opened } = gate();
    const page = await visit({ plan: () => [...pieces("First *this*.", "reasoning"), { until: opened }, ...pieces("# Done\n\n- one\n- two"), { end: "length" }] });
    await ask(page, "Think");
    await page.waitForSelector(".thinking em");
    assert.equal(await page.locator(".reasoning").evaluate(({ open }) => open), true);
    assert.match(await page.locator("summary").innerText(), /^Thinking… [\d.]+ m?s, \d tokens$/);
    assert.match(await page.locator("#rate").innerText(), /tokens\/s · \d tokens$/);
    assert.equal(await page.locator(".answer").getAttribute("aria-busy"), "true");
    open();
    const { content, foot, summary, open: unfolded } = await answered(page);
    assert.equal(unfolded, false);
    assert.match(summary, /^Thought for [\d.]+ m?s, 5 tokens$/);
    assert.equal(content, "Done\none\ntwo");
    assert.match(foot, /^12 tokens · [\d.,]+ tokens\/s · [\d.]+ m?s · ended by the limit of tokens$/);
    assert.equal(await page.locator("#announcer").textContent(), "Answer: # Done\n\n- one\n- two");
    await page.click("summary");
    assert.ok(await page.isVisible(".thinking"));
  });

  test("stops: the request is gone, what came stays, and the next answer is whole", async () => {
    let patient = true;
    const page = await visit({ plan: (body) => (patient ? [...pieces("Half of it"), { until: new Promise(() => undefined) }] : echo(body)) });
    await ask(page, "First");
    await page.waitForFunction(() => document.querySelector(".content").textContent === "Half of it");
    await page.click("#stop");
    const { content, foot } = await answered(page);
    assert.equal(content, "Half of it");
    assert.match(foot, /stopped$/);
    for (let tries = 0; server.gone === 0 && tries < 100; tries++) await page.waitForTimeout(20);
    assert.equal(server.gone, 1, "the server was not told");
    patient = false;
    await ask(page, "Second");
    assert.equal((await answered(page)).content, "You said: Second");
    assert.deepEqual(server.asked[1].messages.map(({ role, content }) => `${role}: ${content}`), ["user: First", "assistant: Half of it", "user: Second"]);
  });

  test("answers again, and lets one change the last question", async () => {
    const page = await visit();
    await ask(page, "One");
    await answered(page);
    await ask(page, "Two");
    await answered(page);
    await page.locator(".again").last().click();
    await page.waitForFunction(() => document.querySelectorAll(".answer-foot").length === 2);
    assert.deepEqual(server.asked[2], server.asked[1]);
    await page.keyboard.press("ArrowUp");
    assert.equal(await page.inputValue("#prompt"), "Two");
    await page.keyboard.press("Escape");
    assert.equal(await page.inputValue("#prompt"), "");
    await page.locator(".edit").last().click();
    await page.keyboard.type(" and a half");
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.querySelectorAll(".answer-foot").length === 2);
    assert.equal((await answered(page)).content, "You said: Two and a half");
    assert.deepEqual(await page.locator(".question").allInnerTexts(), ["You:\nOne", "You:\nTwo and a half"]);
    assert.equal(server.asked[3].messages.at(-1).content, "Two and a half");
    assert.equal(server.asked[3].messages.length, 3);
  });

  test("a reload keeps the conversation, even the half of an answer", async () => {
    const page = await visit({ plan: (body) => (/half/.test(body.messages.at(-1).content) ? [...pieces("Only half"), { until: new Promise((r) => setTimeout(r, 1100)) }, ...pieces(" of it"), { until: new Promise(() => undefined) }] : echo(body)) });
    await ask(page, "Whole");
    const before = await answered(page);
    await page.reload();
    assert.deepEqual(await answered(page), before);
    await ask(page, "Now half");
    await page.waitForFunction(() => [...document.querySelectorAll(".content")].at(-1).textContent === "Only half of it");
    await page.waitForTimeout(300);
    await page.reload();
    assert.match((await answered(page)).content, /^Only half/);
    assert.match(await page.locator(".note").innerText(), /^Not whole/);
    await page.locator(".again").last().click();
    await page.waitForSelector("#stop:not([hidden])");
    assert.equal(server.asked.at(-1).messages.at(-1).content, "Now half");
  });

  test("lists conversations: open, rename, delete, and go on in the background", async () => {
    const { open, opened } = gate();
    const page = await visit({ plan: (body) => (/slow/.test(body.messages.at(-1).content) ? [...pieces("Slowly "), { until: opened }, ...pieces("done"), { end: "stop" }] : echo(body)) });
    await ask(page, "A slow one");
    await page.waitForFunction(() => document.querySelector(".content")?.textContent === "Slowly ".trim());
    await page.click("#new-chat");
    await ask(page, "Another");
    assert.equal((await answered(page)).content, "You said: Another");
    // The list is drawn when the answer has been kept.
    await page.waitForFunction(() => document.querySelectorAll("#conversations li").length === 2);
    assert.deepEqual((await titles(page)).sort(), ["A slow one", "Another"]);
    await page.waitForFunction(() => document.querySelectorAll("#conversations .live").length === 1);
    open();
    await page.waitForFunction(() => !document.querySelector("#conversations .live"));
    await openListed(page, "A slow one");
    assert.equal((await answered(page)).content, "Slowly done");
    await page.locator("li.current").hover();
    await page.getByRole("button", { name: "Rename: A slow one" }).click();
    await page.keyboard.type("Renamed");
    await page.keyboard.press("Enter");
    await page.waitForFunction(async () => {
      const request = indexedDB.open("tiefsee");
      await new Promise((resolve) => (request.onsuccess = resolve));
      const heads = request.result.transaction("heads").objectStore("heads").getAll();
      await new Promise((resolve) => (heads.onsuccess = resolve));
      request.result.close();
      return heads.result.some(({ title }) => title === "Renamed");
    });
    await page.reload();
    await page.waitForSelector("li.current");
    assert.deepEqual((await titles(page)).sort(), ["Another", "Renamed"]);
    await page.locator("li.current").hover();
    await page.getByRole("button", { name: "Delete: Renamed" }).click();
    await page.getByRole("button", { name: "Delete Renamed for good" }).click();
    await page.waitForFunction(() => document.querySelectorAll("#conversations li").length === 1);
    assert.deepEqual(await titles(page), ["Another"]);
    assert.equal(await page.locator(".question").count(), 0);
    await page.reload();
    await page.waitForSelector("#conversations li");
    assert.deepEqual(await titles(page), ["Another"]);
  });

  test("tabs do not write over each other's conversations", async () => {
    const one = await visit();
    const ours = { one, two: null };
    // A tab that nobody sees draws nothing.
    const at = async (name) => (await ours[name].bringToFront(), ours[name]);
    const named = async (name, title) => (await at(name)).getByRole("button", { name: title, exact: true });
    const askIn = async (name, question) => (await ask(await at(name), question), answered(ours[name]));
    const counts = async (name, selector, count) => {
      await (await at(name)).waitForFunction(([selector, count]) => document.querySelectorAll(selector).length === count, [selector, count]);
    };
    await askIn("one", "From one");
    const two = await visits.open({ home: server, context: one.context() });
    ours.two = two;
    await askIn("two", "From two");
    await counts("one", "#conversations li", 2);
    // Both go on with the same one.
    await openListed(await at("two"), "From one");
    await answered(two);
    await askIn("two", "More from two");
    await counts("one", ".question", 2);
    // At the same time: nothing that was said is lost.
    const { open, opened } = gate();
    server.plan = () => [...pieces("At once"), { until: opened }, { end: "stop" }];
    await ask(await at("one"), "Both at once, one");
    await ask(await at("two"), "Both at once, two");
    open();
    await answered(await at("one"));
    await answered(await at("two"));
    await counts("one", "#conversations li", 3);
    await counts("one", ".live", 0);
    const questions = new Set();
    for (const title of await titles(one)) {
      await openListed(await at("one"), title);
      await one.waitForSelector(".answer-foot");
      for (const text of await one.locator(".question").allInnerTexts()) questions.add(text.split("\n").at(-1));
    }
    assert.deepEqual([...questions].sort(), ["Both at once, one", "Both at once, two", "From one", "From two", "More from two"]);
    // What one deletes is gone in the other.
    await openListed(await at("two"), "From two");
    await (await named("one", "From two")).hover();
    await (await named("one", "Delete: From two")).click();
    await (await named("one", "Delete From two for good")).click();
    await counts("two", "#conversations li", 2);
    assert.match(await two.locator("#status").innerText(), /deleted in another tab/);
  });

  test("whatever an answer says stays text, and asks nobody", async () => {
    const page = await visit({ plan: () => [...pieces(EVIL, "reasoning"), ...pieces(EVIL), { end: "stop" }] });
    await ask(page, '<img src=x onerror="window.hacked = 1">');
    await answered(page);
    await page.click("summary");
    assert.equal(await page.evaluate(() => window.hacked), undefined);
    assert.equal(await page.locator("#messages").locator("img, script, iframe, svg, [onclick], [onerror], [style]").count(), 0);
    const links = await page.locator("#messages a").evaluateAll((all) => all.map(({ href, rel, target }) => [href, rel, target]));
    assert.deepEqual([...new Set(links.map(String))], ["x.png", "y.png", ""].map((file) => `https://evil.example/${file},noopener noreferrer,_blank`));
    assert.match(await page.locator(".content").innerText(), /<script>window.hacked = 1<\/script>/);
    assert.match(await page.locator(".question").innerText(), /<img src=x/);
    assert.match((await titles(page))[0], /^<img src=x/);
  });

  test("code can be copied, and a selection stays while text comes", async () => {
    const { open, opened } = gate();
    const page = await visit({ plan: () => [...pieces("Look here:\n\n```js\nlet a;\n"), { until: opened }, ...pieces("let b;\n```\n\nSo."), { end: "stop" }], permissions: ["clipboard-read", "clipboard-write"] });
    await ask(page, "Code");
    await page.waitForFunction(() => document.querySelector("pre")?.textContent.includes("let a;"));
    await page.evaluate(() => getSelection().selectAllChildren(document.querySelector(".content p")));
    open();
    await answered(page);
    assert.equal(await page.evaluate(() => String(getSelection())), "Look here:");
    await page.click(".copy-code");
    await page.waitForFunction(() => document.querySelector("#status").textContent === "The code is copied.");
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), "let a;\nlet b;");
  });

  test("sends the settings, and remembers them", async () => {
    const page = await visit();
    await page.click("#settings-open");
    await page.fill("#temperature", "0.25");
    await page.fill("#top-p", "0.5");
    await page.fill("#max-tokens", "64");
    await page.fill("#seed", "7");
    await page.fill("#system", "Be brief.");
    await page.uncheck("#history");
    await page.keyboard.press("Escape");
    await ask(page, "One");
    await answered(page);
    await page.reload();
    await page.waitForFunction(() => document.querySelector("#model-name").textContent);
    await ask(page, "Two");
    await answered(page);
    const { messages, ...rest } = server.asked[1];
    assert.deepEqual(rest, { model: "mock", stream: true, stream_options: { include_usage: true }, temperature: 0.25, top_p: 0.5, max_tokens: 64, seed: 7 });
    assert.deepEqual(messages, [{ role: "system", content: "Be brief." }, { role: "user", content: "Two" }]);
    await page.click("#settings-open");
    await page.click("#settings-reset");
    await page.click("#settings-form .main");
    await ask(page, "Three");
    await answered(page);
    assert.deepEqual(Object.keys(server.asked[2]), ["model", "messages", "stream", "stream_options"]);
  });

  test("asks for the key, and keeps it no longer than the tab", async () => {
    const page = await visit({
      met: false,
      expected: /401/,
      gate: ({ key }) => (key === "Bearer sesame" ? undefined : refusal(401, "no such key", { code: "invalid_api_key" })),
    });
    await page.waitForSelector("#key-dialog[open]");
    assert.match(await page.locator("#key-why").innerText(), /asks for a key/);
    await page.keyboard.press("Escape");
    await ask(page, "Secret");
    await page.waitForSelector("#key-dialog[open]");
    await page.keyboard.type("wrong");
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.querySelector("#key-why").textContent.includes("does not accept"));
    await page.keyboard.type("sesame");
    await page.keyboard.press("Enter");
    assert.equal((await answered(page)).content, "You said: Secret");
    await page.waitForFunction(() => document.querySelector("#model-name").textContent === "mock");
    assert.equal(await page.evaluate(() => JSON.stringify(localStorage).includes("sesame")), false);
    assert.equal(await page.evaluate(() => sessionStorage.getItem("tiefsee.key")), "sesame");
    await page.reload();
    await page.waitForFunction(() => document.querySelector("#model-name").textContent === "mock");
    const other = await visits.open({ home: server, context: page.context(), expected: /401/ });
    await other.waitForSelector("#key-dialog[open]");
  });

  test("waits for a server that loads, and for one that is busy", async () => {
    let refused = 0;
    const page = await visit({
      expected: /503|429/,
      gate: ({ path }) => (path === "/ready" && refused++ < 2 ? refusal(503, "The model is being loaded.", { headers: { "Retry-After": "1" } }) : undefined),
      met: false,
      plan: () => refusal(429, "too many", { headers: { "Retry-After": "2" } }),
    });
    await page.waitForFunction(() => /is being loaded\. Asking again in 1 s/.test(document.querySelector("#status").textContent));
    await page.waitForFunction(() => document.querySelector("#model-name").textContent === "mock");
    assert.equal(await page.locator("#status").innerText(), "");
    const begun = Date.now();
    await ask(page, "Hello");
    await page.waitForFunction(() => /is busy.* Asking again in 2 s/.test(document.querySelector(".waiting").textContent));
    server.plan = echo;
    assert.equal((await answered(page)).content, "You said: Hello");
    assert.ok(Date.now() - begun >= 2000, "it did not wait");
    assert.equal(server.asked.length, 2);
    // One that waits can be stopped.
    server.plan = () => refusal(429, "too many", { headers: { "Retry-After": "30" } });
    await ask(page, "Again");
    await page.waitForFunction(() => /in 30 s/.test([...document.querySelectorAll(".waiting")].at(-1)?.textContent));
    await page.keyboard.press("Escape");
    assert.equal((await answered(page)).foot, "stopped");
  });

  test("says what failed, in words, and tries again", async () => {
    const page = await visit({ expected: /400|ERR_/, plan: () => refusal(400, "This model's maximum context length is 8 tokens.", { code: "context_length_exceeded" }) });
    const failed = async () => (await page.locator(".error").waitFor(), page.locator(".error").innerText());
    await ask(page, "Much");
    assert.match(await failed(), /maximum context length.*Start a new conversation/s);
    server.plan = () => [...pieces("So f"), { error: { message: "The device was lost.", code: "device_lost" } }];
    await page.click(".error button");
    await page.waitForFunction(() => document.querySelector(".error")?.textContent.includes("The device was lost."));
    assert.equal(await page.locator(".content").innerText(), "So f");
    let cut;
    const until = new Promise((resolve) => (cut = resolve));
    server.plan = () => [...pieces("So far"), { until, cut: true }];
    await page.click(".error button");
    await page.waitForFunction(() => document.querySelector(".content")?.textContent === "So far");
    cut();
    await page.waitForFunction(() => document.querySelector(".error")?.textContent.includes("connection was lost"));
    assert.equal(await page.locator(".content").innerText(), "So far");
    await page.reload();
    assert.match(await failed(), /connection was lost/);
    server.plan = () => pieces("No end");
    await page.click(".error button");
    await page.waitForFunction(() => document.querySelector(".content")?.textContent === "No end");
    assert.match(await failed(), /connection was lost/);
    await page.context().setOffline(true);
    await page.click(".error button");
    await page.waitForFunction(() => document.querySelector(".error")?.textContent.includes("cannot be reached"));
    await page.context().setOffline(false);
    server.plan = echo;
    await page.click(".error button");
    assert.equal((await answered(page)).content, "You said: Much");
  });

  test("says when this browser has no room for a conversation, or keeps none", async () => {
    const page = await visit();
    await page.evaluate(() => {
      const { put } = IDBObjectStore.prototype;
      IDBObjectStore.prototype.put = function (...given) {
        const request = put.apply(this, given);
        const { transaction } = this;
        Object.defineProperty(transaction, "error", { value: new DOMException("full", "QuotaExceededError"), configurable: true });
        // After what else the transaction is asked for, as when the disk is full.
        queueMicrotask(() => transaction.aborted ??= (transaction.abort(), true));
        return request;
      };
    });
    await ask(page, "Kept?");
    await answered(page);
    assert.match(await page.locator("#status").innerText(), /no room/);
    const context = await browser.newContext();
    await context.addInitScript(() => Object.defineProperty(window, "indexedDB", { value: undefined }));
    const bare = await visits.open({ home: server, context });
    await ask(bare, "Not kept");
    await answered(bare);
    assert.deepEqual(await titles(bare), ["Not kept"]);
    assert.ok(await bare.isVisible("#kept-hint"));
  });

  test("keys are enough", async () => {
    const page = await visit({ id: "demo" });
    await page.locator("#starters button").first().click();
    await answered(page);
    assert.equal(await page.evaluate(() => document.activeElement.id), "prompt");
    await page.click("#new-chat");
    const focused = () => page.evaluate(() => document.activeElement.id || document.activeElement.textContent);
    const tabTo = async (what) => {
      for (let presses = 0; presses < 12 && (await focused()) !== what; presses++) await page.keyboard.press("Tab");
      assert.equal(await focused(), what);
    };
    assert.equal(await focused(), "prompt");
    await page.keyboard.type("Line one");
    await page.keyboard.press("Shift+Enter");
    await page.keyboard.type("line two");
    await page.keyboard.press("Enter");
    await answered(page);
    assert.equal(server.asked[1].messages[0].content, "Line one\nline two");
    assert.equal(await focused(), "prompt");
    await page.evaluate(() => document.activeElement.blur());
    await page.evaluate(() => document.querySelector("#skip").focus());
    const ring = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
    assert.equal(ring, "solid", "no focus ring");
    await tabTo("settings-open");
    await page.keyboard.press("Enter");
    await page.waitForSelector("#settings[open]");
    await page.keyboard.press("Escape");
    await tabTo("new-chat");
    await tabTo("Line one line two");
    await tabTo("✎");
    await page.keyboard.press("Enter");
    await page.keyboard.type("Lines");
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.activeElement.textContent === "Lines");
    await tabTo("messages");
    await tabTo("Edit");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    assert.ok(await page.isVisible(".thinking"), "Enter does not unfold the thinking");
  });

  for (const colorScheme of ["light", "dark"]) {
    test(`fits on a phone, ${colorScheme}`, async () => {
      const wide = `${"wide ".repeat(60)}\n\n\`\`\`\n${"x".repeat(300)}\n\`\`\`\n\n|${" column |".repeat(12)}\n|${"---|".repeat(12)}\n|${" word |".repeat(12)}\n\n${"y".repeat(300)}`;
      const page = await visit({ viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true, colorScheme, plan: () => [...pieces("Hm. ".repeat(60), "reasoning"), ...pieces(wide), { end: "stop" }] });
      await fits(page, "the empty page");
      await ask(page, "z".repeat(300));
      await answered(page);
      await fits(page, "the conversation");
      const height = await page.evaluate(() => document.documentElement.scrollHeight - innerHeight);
      assert.ok(height <= 0, `${height} pixels below the window`);
      await page.click("#menu");
      await page.waitForFunction(() => document.querySelector("#sidebar").getBoundingClientRect().left === 0);
      await page.locator("#conversations .rename").click();
      await page.keyboard.press("Escape");
      await page.keyboard.press("Escape");
      await page.waitForFunction(() => document.querySelector("#sidebar").getBoundingClientRect().right <= 0);
      await page.click("#settings-open");
      await fits(page, "the settings");
      const [has, needs] = await page.locator("#settings").evaluate((box) => [box.clientWidth, box.scrollWidth]);
      assert.ok(needs <= has, `the settings: ${needs} pixels wide, ${has} there`);
    });
  }

  test("light, dark, or as the system has it", async () => {
    const page = await visit({ colorScheme: "light" });
    const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const light = await ground();
    await page.selectOption("#theme", "dark");
    const dark = await ground();
    assert.notEqual(dark, light);
    await page.reload();
    assert.equal(await ground(), dark);
    await page.selectOption("#theme", "auto");
    assert.equal(await ground(), light);
    await page.emulateMedia({ colorScheme: "dark" });
    assert.equal(await ground(), dark);
  });
});
