// The AI SDK with its providers for DeepSeek and for servers like OpenAI's.

import assert from "node:assert/strict";
import { test } from "node:test";

import { createDeepSeek } from "@ai-sdk/deepseek";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, Output, generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

import { answer, guarded, isBusy, isIdle, long, narrow, occupy, question, url } from "./shared.mjs";

const providers = {
  "@ai-sdk/deepseek": (baseURL, apiKey = "none") => createDeepSeek({ baseURL, apiKey }),
  "@ai-sdk/openai-compatible": (baseURL, apiKey) =>
    createOpenAICompatible({
      name: "tiefsee",
      baseURL: `${baseURL}/v1`,
      apiKey,
      includeUsage: true,
      supportsStructuredOutputs: true,
    }),
};

/** What a reply must be like that a stream or a whole answer gave. */
function check({ text, reasoningText, finishReason, usage }) {
  assert.equal(text, answer);
  assert.match(reasoningText, /^27: tens 2/);
  assert.equal(finishReason, "stop");
  assert.ok(usage.inputTokens > 5 && usage.outputTokens > 50);
  assert.ok(usage.outputTokenDetails.reasoningTokens > 40);
}

for (const [name, create] of Object.entries(providers)) {
  const provider = create(url);
  const asked = { model: provider("demo"), prompt: question, temperature: 0, maxRetries: 0 };

  test(`${name}: an answer`, async () => check(await generateText(asked)));

  test(`${name}: a stream`, async () => {
    const reply = streamText(asked);
    const kinds = new Map();
    for await (const part of reply.fullStream) kinds.set(part.type, (kinds.get(part.type) ?? 0) + 1);
    assert.ok(kinds.get("reasoning-delta") > 10 && kinds.get("text-delta") > 2);
    assert.ok(!kinds.has("error"));
    const [text, reasoningText, finishReason, usage] = await Promise.all(
      ["text", "reasoningText", "finishReason", "usage"].map((part) => reply[part]),
    );
    check({ text, reasoningText, finishReason, usage });
  });

  test(`${name}: tools`, async () => {
    const order = (calls) =>
      tool({
        description: "Orders something.",
        inputSchema: z.object({ what: z.boolean() }),
        execute: async ({ what }) => calls.push(what),
      });
    const calls = [];
    const toolChoice = { type: "tool", toolName: "order" };
    const options = { ...asked, maxOutputTokens: 400, toolChoice, stopWhen: stepCountIs(2) };
    const reply = await generateText({ ...options, tools: { order: order(calls) } });
    assert.equal(reply.steps.length, 2, "the result was sent back");
    assert.equal(reply.steps[0].finishReason, "tool-calls");
    assert.ok(calls.length >= 2 && calls.every((what) => typeof what === "boolean"));
    const streamed = [];
    const stream = streamText({ ...options, stopWhen: stepCountIs(1), tools: { order: order(streamed) } });
    await stream.consumeStream({
      onError: (error) => {
        throw error;
      },
    });
    assert.deepEqual(streamed, calls.slice(0, streamed.length));
    assert.ok(streamed.length >= 1);
  });

  test(`${name}: an error is its own and not tried again`, async () => {
    await assert.rejects(generateText({ ...asked, maxRetries: 2, topP: 2 }), (error) => {
      assert.ok(APICallError.isInstance(error), error);
      assert.equal(error.statusCode, 400);
      assert.equal(error.isRetryable, false);
      assert.match(error.message, /top_p/);
      return true;
    });
    await assert.rejects(generateText({ ...asked, model: provider("another") }), { statusCode: 404 });
  });

  test(`${name}: keys`, async () => {
    await assert.rejects(generateText({ ...asked, model: create(guarded, "the-wrong-one")("demo") }), {
      statusCode: 401,
    });
    check(await generateText({ ...asked, model: create(guarded, "the-right-one")("demo") }));
  });

  test(`${name}: a full queue, and retries`, async () => {
    const model = create(narrow)("demo");
    const leave = await occupy();
    await assert.rejects(generateText({ ...asked, model }), (error) => {
      assert.equal(error.statusCode, 429);
      assert.equal(error.isRetryable, true);
      return true;
    });
    setTimeout(leave, 500);
    check(await generateText({ ...asked, model, maxRetries: 5 }));
  });

  test(`${name}: a stop frees the slot`, async () => {
    const stop = new AbortController();
    const prompt = long.messages[0].content;
    const reply = streamText({ ...asked, prompt, maxOutputTokens: long.max_tokens, abortSignal: stop.signal });
    const parts = reply.fullStream[Symbol.asyncIterator]();
    for (;;) {
      const { value } = await parts.next();
      if (value.type === "reasoning-delta") break;
    }
    assert.ok(await isBusy());
    stop.abort();
    assert.ok(await isIdle());
  });
}

test("a schema, kept by the server", async () => {
  const schema = z.object({ sum: z.number().int().min(10).max(99), sure: z.boolean() });
  const model = providers["@ai-sdk/openai-compatible"](url)("demo");
  const { output } = await generateText({ model, prompt: question, temperature: 0, output: Output.object({ schema }) });
  assert.deepEqual(schema.parse(output), output);
});
