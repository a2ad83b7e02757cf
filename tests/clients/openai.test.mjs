// The package `openai`.

import assert from "node:assert/strict";
import { test } from "node:test";

import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";

import { answer, guarded, isBusy, isIdle, long, narrow, occupy, question, url } from "./shared.mjs";

const connect = (options) => new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: 0, ...options });
const client = connect();
const asked = { model: "demo", messages: [{ role: "user", content: question }], temperature: 0 };
const add = {
  type: "function",
  function: {
    name: "add",
    description: "Adds two numbers.",
    strict: true,
    parameters: {
      type: "object",
      properties: { a: { type: "integer", enum: [27, 28] }, b: { type: "integer", enum: [47, 48] } },
      required: ["a", "b"],
      additionalProperties: false,
    },
  },
};

test("models", async () => {
  const names = [];
  for await (const model of client.models.list()) names.push(model.id);
  assert.deepEqual(names, ["demo"]);
});

test("an answer, whole and in pieces", async () => {
  const whole = await client.chat.completions.create(asked);
  const { message, finish_reason } = whole.choices[0];
  assert.equal(message.content, answer);
  assert.equal(finish_reason, "stop");
  const stream = await client.chat.completions.create({
    ...asked,
    stream: true,
    stream_options: { include_usage: true },
  });
  const said = { content: "", reasoning_content: "" };
  let usage;
  for await (const chunk of stream) {
    usage = chunk.usage ?? usage;
    const delta = chunk.choices[0]?.delta ?? {};
    for (const part of Object.keys(said)) said[part] += delta[part] ?? "";
  }
  assert.deepEqual(said, { content: message.content, reasoning_content: message.reasoning_content });
  assert.equal(usage.completion_tokens, whole.usage.completion_tokens);
});

test("tools", async () => {
  const runner = client.chat.completions.runTools({
    ...asked,
    max_tokens: 400,
    tool_choice: { type: "function", function: { name: "add" } },
    tools: [
      {
        ...add,
        function: {
          ...add.function,
          parse: JSON.parse,
          function: ({ a, b }) => {
            assert.ok([27, 28].includes(a) && [47, 48].includes(b));
            return String(a + b);
          },
        },
      },
    ],
  });
  const result = Number(await runner.finalFunctionToolCallResult());
  assert.ok([74, 75, 76].includes(result));
  assert.equal((await runner.finalFunctionToolCall()).name, "add");
});

test("streamed tools", async () => {
  const tools = { tools: [add], tool_choice: "required", parallel_tool_calls: false };
  const stream = client.chat.completions.stream({ ...asked, ...tools });
  const { message, finish_reason } = (await stream.finalChatCompletion()).choices[0];
  assert.equal(finish_reason, "tool_calls");
  for (const call of message.tool_calls) {
    assert.equal(call.function.name, "add");
    assert.ok([27, 28].includes(JSON.parse(call.function.arguments).a));
  }
});

test("a schema", async () => {
  const schema = z.object({ sum: z.number().int().min(10).max(99), sure: z.boolean() });
  const response_format = zodResponseFormat(schema, "sum");
  const { message } = (await client.chat.completions.parse({ ...asked, response_format })).choices[0];
  assert.deepEqual(schema.parse(JSON.parse(message.content)), message.parsed);
  const wrong = { type: "json_schema", json_schema: { name: "wrong", schema: { type: "nonsense" } } };
  await assert.rejects(client.chat.completions.create({ ...asked, response_format: wrong }), OpenAI.BadRequestError);
});

test("logprobs", async () => {
  const { choices } = await client.chat.completions.create({ ...asked, logprobs: true, top_logprobs: 2 });
  const { content } = choices[0].logprobs;
  assert.equal(Buffer.from(content.flatMap((entry) => entry.bytes)).toString().trimStart(), choices[0].message.content);
  for (const entry of content) assert.equal(entry.token, entry.top_logprobs[0].token);
});

test("errors", async () => {
  await assert.rejects(client.chat.completions.create({ ...asked, temperature: -1 }), (error) => {
    assert.ok(error instanceof OpenAI.BadRequestError);
    assert.equal(error.param, "temperature");
    return true;
  });
  await assert.rejects(client.chat.completions.create({ ...asked, model: "another" }), OpenAI.NotFoundError);
  const messages = [{ role: "user", content: "7 ".repeat(3000) }];
  await assert.rejects(client.chat.completions.create({ ...asked, messages }), { code: "context_length_exceeded" });
});

test("clients that go away", async () => {
  const stream = await client.chat.completions.create({ ...asked, ...long, stream: true });
  for await (const _ of stream) break;
  assert.ok(await isIdle(), "after a break");
  const stopped = await client.chat.completions.create({ ...asked, ...long, stream: true });
  await stopped[Symbol.asyncIterator]().next();
  assert.ok(await isBusy());
  stopped.controller.abort();
  assert.ok(await isIdle(), "after an abort");
  const whole = connect({ timeout: 300 }).chat.completions.create({ ...asked, ...long });
  await assert.rejects(whole, OpenAI.APIConnectionTimeoutError);
  assert.ok(await isIdle(), "after a timeout");
});

test("keys", async () => {
  const stranger = connect({ baseURL: `${guarded}/v1`, apiKey: "the-wrong-one" });
  await assert.rejects(stranger.chat.completions.create(asked), OpenAI.AuthenticationError);
  const friend = connect({ baseURL: `${guarded}/v1`, apiKey: "the-right-one" });
  assert.equal((await friend.chat.completions.create(asked)).choices[0].message.content, answer);
});

test("a full queue, and retries", async () => {
  const baseURL = `${narrow}/v1`;
  const leave = await occupy();
  await assert.rejects(connect({ baseURL }).chat.completions.create(asked), (error) => {
    assert.ok(error instanceof OpenAI.RateLimitError);
    assert.ok(Number(error.headers.get("retry-after")) >= 1);
    return true;
  });
  setTimeout(leave, 500);
  const reply = await connect({ baseURL, maxRetries: 5 }).chat.completions.create(asked);
  assert.equal(reply.choices[0].message.content, answer);
});
