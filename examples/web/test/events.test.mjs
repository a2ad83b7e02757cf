// The events of a stream as the server's page reads them.

import assert from "node:assert/strict";
import { test } from "node:test";

import { events } from "../../../src/server/page/events.js";

const STREAM = [
  ": keep-alive",
  "",
  'data: {"text": "ä€😀"}',
  "",
  "event: message",
  'data:{"text": "no space"}',
  "id: 3",
  "",
  'data: {"text": "a\\nb"}',
  "",
  "data: [DONE]",
  "",
  'data: {"text": "too late"}',
  "",
];
const OBJECTS = [{ text: "ä€😀" }, { text: "no space" }, { text: "a\nb" }];

/** A body of these bytes in parts of so many, and what became of it. */
function bodyOf(bytes, sizes) {
  const seen = { cancelled: false };
  let at = 0;
  const body = new ReadableStream({
    pull(controller) {
      if (at >= bytes.length) return controller.close();
      const size = sizes();
      controller.enqueue(bytes.subarray(at, at + size));
      at += size;
    },
    cancel: () => void (seen.cancelled = true),
  });
  return { body, seen };
}

async function all(source) {
  const found = [];
  for await (const one of source) found.push(one);
  return found;
}

for (const [name, newline] of [["LF", "\n"], ["CR LF", "\r\n"], ["CR", "\r"]]) {
  test(`in whatever parts they come, with ${name}`, async () => {
    const bytes = new TextEncoder().encode(STREAM.join(newline));
    for (let size = 1; size < 40; size++) {
      const { body } = bodyOf(bytes, () => size);
      assert.deepEqual(await all(events(body)), OBJECTS, `parts of ${size} bytes`);
    }
  });
}

test("a stream that ends without [DONE] is cut", async () => {
  const { body } = bodyOf(new TextEncoder().encode('data: {"a": 1}\n\n'), () => 5);
  const source = events(body);
  assert.deepEqual((await source.next()).value, { a: 1 });
  await assert.rejects(source.next(), /cut/);
});

test("a server that says nothing any more is given up, and told so", async () => {
  let cancelled = false;
  const body = new ReadableStream({
    start: (controller) => controller.enqueue(new TextEncoder().encode('data: {"a": 1}\n\n')),
    cancel: () => void (cancelled = true),
  });
  const source = events(body, 50);
  await source.next();
  await assert.rejects(source.next(), /silent/);
  assert.ok(cancelled);
});

test("who reads no further cancels the stream", async () => {
  const { body, seen } = bodyOf(new TextEncoder().encode('data: {"a": 1}\n\ndata: {"a": 2}\n\n'), () => 1);
  for await (const _ of events(body)) break;
  assert.ok(seen.cancelled);
});
