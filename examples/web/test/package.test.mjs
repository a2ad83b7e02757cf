// The npm package: its size, its files, and its types as those who use it see them.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";

import { newProject, packedFiles } from "./packed.mjs";

const WEB = fileURLToPath(new URL("..", import.meta.url));
const read = (path) => readFileSync(join(WEB, path));
const zipped = (bytes) => gzipSync(bytes, { level: 9 }).length;

/** A script in `dist/` with its types. */
const MODULES = [
  "completions",
  "connection",
  "demo",
  "demo-files",
  "engine",
  "errors",
  "index",
  "learnt",
  "place",
  "protocol",
  "source/answer",
  "source/bytes",
  "source/chunks",
  "source/error",
  "source/files",
  "source/http",
  "source/kept",
  "source/manifest",
  "source/opfs",
  "source/request",
  "source/source",
  "source/store",
  "source/tally",
  "source/url",
  "stream",
  "support",
  "types",
  "wasm/tiefsee",
  "worker",
];
const OTHERS = [
  "LICENSE-APACHE",
  "LICENSE-MIT",
  "README.md",
  "dist/demo/model.safetensors",
  "dist/wasm/tiefsee_bg.wasm",
  "package.json",
];

/** Uses what the README shows. The wrong uses must be wrong: types that are `any` allow everything. */
const CONSUMER = `
  import { Engine, TiefseeError, type ChatCompletionChunk, type ErrorCode, type Stats } from "tiefsee";

  const support = await Engine.isSupported();
  if (!support.supported) throw new Error(support.reason);
  const name: string = support.adapter.name;
  const engine = await Engine.create("demo", {
    onProgress: ({ phase, loaded, total }) => console.log(name, phase, loaded / total),
    signal: new AbortController().signal,
  });
  engine.addEventListener("devicelost", () => undefined);
  const messages = [{ role: "user" as const, content: "What is 27 + 48?" }];
  const stream = await engine.chat.completions.create({ messages, stream: true, stream_options: { include_usage: true } });
  let last: ChatCompletionChunk | undefined;
  for await (const chunk of stream) {
    const text: string | undefined = chunk.choices[0]?.delta.reasoning_content ?? chunk.choices[0]?.delta.content;
    console.log(text, chunk.usage?.total_tokens, chunk.timings?.decode_ms, chunk.experts?.layers[0]?.[0]?.[0]);
    last = chunk;
  }
  stream.abort();
  const whole = await engine.chat.completions.create({ messages });
  // None beside calls of tools.
  const content: string | null = whole.choices[0]!.message.content;
  const text: string = (await engine.completions.create({ prompt: "1 + 1 =", max_tokens: 3 })).choices[0]!.text;
  const ids: number[] = await engine.tokenize(text);
  const stats: Stats = await engine.stats();
  const passed: boolean = (await engine.selfTest((check) => console.log(check.kernel))).every((check) => check.passed);
  const code: ErrorCode = new TiefseeError("", "network").code;
  await engine.unload();
  console.log(last, content, ids, stats, passed, code);

  // @ts-expect-error: a stream is no whole answer
  stream.choices;
  // @ts-expect-error: an unknown format
  await Engine.create("demo", { quantize: "q3" });
  // @ts-expect-error: nobody says that
  await engine.chat.completions.create({ messages: [{ role: "nobody", content: "" }] });
  // @ts-expect-error: no such code
  code === "no_such_code";
`;

describe("size", () => {
  const wasm = read("dist/wasm/tiefsee_bg.wasm");

  test("the WebAssembly module has at most 3,000,000 bytes, 1,200,000 zipped", () => {
    assert.ok(zipped(wasm) <= 1_200_000, `${zipped(wasm)} bytes zipped`);
    assert.ok(wasm.length <= 3_000_000, `${wasm.length} bytes`);
  });

  test("all scripts together have at most 60,000 bytes zipped", () => {
    const sizes = MODULES.map((module) => [module, zipped(read(`dist/${module}.js`))]);
    const total = sizes.reduce((sum, [, size]) => sum + size, 0);
    assert.ok(total <= 60_000, `${total} bytes: ${sizes.map(([module, size]) => `${module} ${size}`).join(", ")}`);
  });
});

describe("files", () => {
  test("what is packed is known, every file of it", () => {
    const scripts = MODULES.flatMap((module) => [`dist/${module}.d.ts`, `dist/${module}.js`]);
    assert.deepEqual(packedFiles().sort(), [...scripts, ...OTHERS].sort());
  });

  test("nothing has to be installed with it, or runs on installing", () => {
    const manifest = JSON.parse(read("package.json"));
    for (const field of ["dependencies", "peerDependencies", "optionalDependencies", "scripts"]) {
      assert.equal(manifest[field], undefined, field);
    }
  });

  test("no script names where it was built", () => {
    for (const module of MODULES) assert.doesNotMatch(read(`dist/${module}.js`).toString(), /\/home\/|\/root\/|file:\/\//, module);
    const paths = read("dist/wasm/tiefsee_bg.wasm").toString("latin1").match(/(\/home\/|\/root\/\.)[\w./-]*/g);
    assert.equal(paths, null);
  });
});

/** Runs a tool of the devDependencies; what it complains of is its failure. */
async function tool(script, given, cwd = WEB) {
  const run = promisify(execFile)(process.execPath, [join(WEB, "node_modules", script), ...given], { cwd });
  return run.catch((error) => assert.fail(`${error.stdout}\n${error.stderr}`));
}

describe("use", { timeout: 60_000 }, () => {
  let project;
  before(() => (project = newProject({ "main.ts": CONSUMER })));
  after(() => project?.remove());

  test("publint finds nothing", () => tool("publint/src/cli.js", ["--strict"]));

  test("attw resolves its types", () => tool("@arethetypeswrong/cli/dist/index.js", ["--pack", ".", "--profile", "esm-only"]));

  for (const [module, moduleResolution] of [["nodenext", "nodenext"], ["esnext", "bundler"]]) {
    test(`its types hold with moduleResolution ${moduleResolution}`, () => {
      const options = { module, moduleResolution, target: "es2022", lib: "es2022,dom,dom.iterable" };
      const given = Object.entries(options).flatMap(([name, value]) => [`--${name}`, value]);
      return tool("typescript/bin/tsc", ["--noEmit", "--strict", "--exactOptionalPropertyTypes", ...given, "main.ts"], project.root);
    });
  }
});
