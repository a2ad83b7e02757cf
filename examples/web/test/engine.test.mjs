// The engine in a browser gives what the native one gives, on the same driver.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";

import { openBrowser, openPage } from "./browser.mjs";
import { native, nativeAnswer, REPOSITORY } from "./native.mjs";
import { readTensors } from "./safetensors.mjs";
import { CORS, startServer } from "./server.mjs";

const PROBLEMS = 20;
const SUM = "What is 27 + 48?";
/** Its answer takes a while: one can take its device away. */
const LONG = "Sort these numbers: 38, 8, 96, 41, 70, 5.";
const golden = (file) => `${REPOSITORY}tests/golden/${file}`;

let browser, checkpoints, opened, page;

before(async () => {
  browser = await openBrowser();
  checkpoints = await startServer({ root: golden(""), headers: CORS });
  opened = await openPage(browser);
  page = opened.page;
  await page.evaluate(async () => {
    window.engine = await tiefsee.Engine.create("demo");
    window.answer = (content, more = {}) =>
      engine.chat.completions.create({ messages: [{ role: "user", content }], temperature: 0, ...more });
  });
});

after(async () => {
  await opened?.close();
  await checkpoints?.close();
  await browser?.close();
});

test("kernels run on the adapter that is named, and all are right", async () => {
  const { adapter, checks } = await page.evaluate(async () => {
    const told = [];
    const checks = await engine.selfTest((check) => told.push(check.kernel));
    return { adapter: engine.adapter, checks, told };
  });
  assert.equal(adapter.architecture, "swiftshader");
  assert.equal(adapter.software, true);
  assert.ok(checks.length > 50, `${checks.length} checks`);
  assert.deepEqual(checks.filter((check) => !check.passed), []);
  assert.ok(checks.every((check) => check.error <= check.tolerance));
});

test(`greedy answers to ${PROBLEMS} problems are the native ones, token for token`, async () => {
  const { problems } = JSON.parse(readFileSync(golden("demo.json"), "utf8"));
  const step = Math.floor(problems.length / PROBLEMS);
  for (let index = 0; index < PROBLEMS; index++) {
    const { question } = problems[index * step];
    const expected = await nativeAnswer(question);
    const actual = await page.evaluate((question) => answer(question), question);
    assert.deepEqual(actual.tokens, expected.tokens, question);
    assert.equal(actual.choices[0].message.content, expected.content);
    assert.equal(actual.choices[0].message.reasoning_content, expected.reasoning);
    assert.equal(actual.usage.completion_tokens, expected.usage.completion_tokens);
  }
});

// One of each architecture, as a folder and as a GGUF file, and every way to store weights.
const FOLDERS = ["dsv3", "dsv2", "dsv2lite", "odd", "wide", "dsv3fp8", "dsv3ue8m0", "dsv32", "qwen2", "qwen2tied", "qwen3", "llama"];
const GGUF_FILES = [
  ["dsv3.gguf", "dsv3/golden"],
  ["dsv2-old.gguf", "gguf/dsv2-old.golden"],
  ["qwen2-v2.gguf", "qwen2/golden"],
  ["qwen3.gguf", "qwen3/golden"],
  ["llama-split-00001-of-00002.gguf", "llama/golden"],
  ["mixed.gguf", "gguf/mixed.golden"],
  ["deepseek2-mixed.gguf", "gguf/deepseek2-mixed.golden"],
];
const MODELS = [
  ...FOLDERS.map((folder) => [folder, `${folder}/golden`]),
  ...GGUF_FILES.map(([file, expected]) => [`gguf/${file}`, expected]),
];

for (const [model, reference] of MODELS) {
  test(`logits of ${model} are within 1e-3 of the reference`, async () => {
    const tensors = readTensors(readFileSync(golden(`${reference}.safetensors`)));
    const ids = [...tensors.get("input_ids").values].map(Number);
    const expected = tensors.get("logits").values;
    const { logits, vocabulary } = await page.evaluate(
      async ([url, ids]) => {
        const { logits, vocabulary } = await tiefsee.Engine.logits(url, ids, { keep: false });
        return { logits: [...logits], vocabulary };
      },
      [`${checkpoints.url}/${model}`, ids],
    );
    assert.equal(logits.length, ids.length * vocabulary);
    assert.equal(logits.length, expected.length);
    const off = logits.map((logit, index) => Math.abs(logit - expected[index]));
    assert.ok(Math.max(...off) <= 1e-3, `off by ${Math.max(...off)}`);
  });
}

test("a stream's parts make the whole", async () => {
  const { chunks, whole } = await page.evaluate(async (question) => {
    const chunks = [];
    const stream = await answer(question, { stream: true, stream_options: { include_usage: true }, experts: true });
    for await (const chunk of stream) chunks.push(chunk);
    return { chunks, whole: await answer(question) };
  }, SUM);
  const joined = (key) => chunks.map((chunk) => chunk.choices[0]?.delta[key] ?? "").join("");
  const { content, reasoning_content } = whole.choices[0].message;
  assert.equal(joined("content"), content);
  assert.equal(joined("reasoning_content"), reasoning_content);
  assert.equal(chunks[0].choices[0].delta.role, "assistant");
  const reasons = chunks.map((chunk) => chunk.choices[0]?.finish_reason).filter(Boolean);
  assert.deepEqual(reasons, ["stop"]);
  assert.equal(chunks.at(-1).usage.completion_tokens, whole.usage.completion_tokens);

  // Every token that the model read has experts, in each layer with experts as many.
  const experts = chunks.flatMap((chunk) => chunk.experts ?? []);
  let position = experts[0].position;
  for (const part of experts) {
    assert.equal(part.position, position);
    position += part.layers[0].length;
    assert.ok(part.layers.every((layer) => layer.every((slots) => slots.length === part.layers[0][0].length)));
  }
  assert.equal(position, whole.usage.prompt_tokens + whole.usage.completion_tokens);
});

test("sampling with a seed is the native one's", async () => {
  const question = "What is 87 x 6?";
  const seed = 7;
  const given = ["--temperature", "0.8", "--top-p", "0.9", "--seed", `${seed}`];
  const expected = JSON.parse(await native("run", "demo", "--json", ...given, question));
  const actual = await page.evaluate(
    ([question, seed]) => answer(question, { temperature: 0.8, top_p: 0.9, seed }),
    [question, seed],
  );
  assert.deepEqual(actual.tokens, expected.tokens);
});

test("an answer can be stopped in three ways, and the engine goes on", async () => {
  const ended = await page.evaluate(async (question) => {
    const stream = await answer(question, { stream: true });
    let seen = 0;
    for await (const _ of stream) if (++seen === 3) break;

    const second = await answer(question, { stream: true });
    let after = 0;
    for await (const _ of second) {
      after++;
      second.abort();
    }

    const abort = new AbortController();
    const request = { messages: [{ role: "user", content: question }], temperature: 0, stream: true };
    const third = await engine.chat.completions.create(request, { signal: abort.signal });
    let reason;
    try {
      for await (const _ of third) abort.abort(new Error("enough"));
    } catch (error) {
      reason = error.message;
    }
    return { seen, after, reason };
  }, SUM);
  assert.deepEqual(ended, { seen: 3, after: 1, reason: "enough" });
  assert.match(await page.evaluate((question) => ask(engine, question), SUM), /75/);
});

test("texts are cut into tokens and put together again", async () => {
  const text = "27 + 48 = ?\n";
  const { tokens, back } = await page.evaluate(async (text) => {
    const tokens = await engine.tokenize(text);
    return { tokens, back: await engine.detokenize(tokens) };
  }, text);
  assert.ok(tokens.length > 3);
  assert.equal(back, text);
  const raw = await page.evaluate(async (prompt) => {
    const whole = await engine.completions.create({ prompt, max_tokens: 5, temperature: 0 });
    let joined = "";
    const stream = await engine.completions.create({ prompt, max_tokens: 5, temperature: 0, stream: true });
    for await (const chunk of stream) joined += chunk.choices[0]?.text ?? "";
    return { whole, joined };
  }, tokens);
  assert.equal(raw.whole.choices[0].finish_reason, "length");
  assert.equal(raw.joined, raw.whole.choices[0].text);
});

test("requests that make no sense are refused in words", async () => {
  const refused = await page.evaluate(async () => {
    const messages = [{ role: "user", content: "Hello" }];
    const requests = [
      { messages: [] },
      { messages: [{ role: "king", content: "Hello" }] },
      { messages, temperature: "hot" },
      { messages, n: 9 },
      { messages, tools: [{ type: "function" }] },
      { messages: [{ role: "user", content: "word ".repeat(5000) }] },
    ];
    const errors = [];
    for (const request of requests) {
      await engine.chat.completions.create(request).then(
        () => errors.push("answered"),
        ({ name, code, message }) => errors.push(`${name} ${code}: ${message}`),
      );
    }
    return errors;
  });
  const expected = [
    /^TiefseeError usage: `messages` is empty/,
    /usage: `messages\[0\]\.role`/,
    /usage: `temperature`/,
    /usage: `n`/,
    /usage: `tools/,
    /context_length_exceeded: the prompt has \d+ tokens/,
  ];
  refused.forEach((text, index) => assert.match(text, expected[index]));
});

test("a device lost in mid-answer is opened again, and the answer is the same", async () => {
  const { page, close } = await openPage(browser);
  const workers = [];
  page.on("worker", (worker) => workers.push(worker));
  await page.evaluate(() => void (window.loading = tiefsee.Engine.create("demo")));
  while (workers.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  // Buffers are made by every device in use: the last one that made any is the model's. It is lost when it has
  // been given so many steps, however fast they are.
  await workers[0].evaluate(() => {
    const { createBuffer } = GPUDevice.prototype;
    GPUDevice.prototype.createBuffer = function (...given) {
      self.device = this;
      return createBuffer.apply(this, given);
    };
    const { submit } = GPUQueue.prototype;
    GPUQueue.prototype.submit = function (...given) {
      if (self.submitsLeft-- === 0) self.device.destroy();
      return submit.apply(this, given);
    };
  });
  const before = await page.evaluate(async (question) => {
    window.engine = await loading;
    window.events = [];
    for (const name of ["devicelost", "devicerecovered"]) engine.addEventListener(name, (event) => events.push(event.type));
    window.request = { messages: [{ role: "user", content: question }], temperature: 0 };
    const whole = await engine.chat.completions.create(request);
    const { reasoning_content, content } = whole.choices[0].message;
    return reasoning_content + content;
  }, LONG);
  await workers[0].evaluate(() => void (self.submitsLeft = 10));
  const { text, events, recoveries } = await page.evaluate(async () => {
    let text = "";
    for await (const chunk of await engine.chat.completions.create({ ...request, stream: true })) {
      const { content, reasoning_content } = chunk.choices[0]?.delta ?? {};
      text += reasoning_content ?? content ?? "";
    }
    return { text, events, recoveries: (await engine.stats()).recoveries };
  });
  assert.deepEqual(events, ["devicelost", "devicerecovered"]);
  assert.equal(recoveries, 1);
  assert.equal(text, before);
  await close();
});
