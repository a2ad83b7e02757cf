// A Vite project that uses the package, built and in development.

import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { build, createServer } from "vite";

import { onSwiftShader, openBrowser } from "./browser.mjs";
import { newProject } from "./packed.mjs";
import { startServer } from "./server.mjs";

const FILES = {
  "index.html": '<!doctype html><meta charset="utf-8"><title>app</title><script type="module" src="/main.ts"></script>',
  "main.ts": `
    import { Engine } from "tiefsee";

    async function ask() {
      const engine = await Engine.create("demo");
      let thinking = "";
      let content = "";
      const messages = [{ role: "user" as const, content: "What is 27 + 48?" }];
      for await (const { choices } of await engine.chat.completions.create({ messages, stream: true, temperature: 0 })) {
        thinking += choices[0]?.delta.reasoning_content ?? "";
        content += choices[0]?.delta.content ?? "";
      }
      return { thinking, content, adapter: engine.adapter };
    }
    Object.assign(window, { outcome: ask().catch((error) => ({ error: String(error) })) });
  `,
};

let project;
let browser;

before(async () => {
  project = newProject(FILES);
  browser = await openBrowser();
});
after(async () => {
  await browser?.close();
  project?.remove();
});

async function answersAt(url) {
  const page = await browser.newPage();
  const errors = [];
  page.on("pageerror", (error) => errors.push(error.message));
  // Where a file is missing the browser's icon is looked for too; an application would have one.
  await page.route("**/favicon.ico", (route) => route.fulfill({ status: 204 }));
  await page.goto(url);
  await page.waitForFunction(() => window.outcome, undefined, { timeout: 20_000 });
  const { error, thinking, content, adapter } = await page.evaluate(() => window.outcome);
  await page.close();
  assert.equal(error, undefined, error);
  assert.deepEqual(errors, []);
  assert.match(content, /\b75\b/);
  assert.ok(thinking.length > 10, "no thinking");
  onSwiftShader(adapter);
}

const settings = (more) => ({ root: project.root, configFile: false, logLevel: "error", ...more });

for (const base of ["/", "/some/where/"]) {
  test(`a build of Vite answers below ${base}`, { timeout: 60_000 }, async () => {
    const outDir = join(project.root, `served${base}`);
    await build(settings({ base, build: { outDir, emptyOutDir: true } }));
    const server = await startServer({ root: join(project.root, "served") });
    try {
      await answersAt(`${server.url}${base}`);
      const paths = server.log.filter(({ status }) => status < 300).map(({ path }) => path);
      for (const kind of ["wasm", "safetensors"]) {
        assert.ok(paths.some((path) => path.startsWith(`${base}assets/`) && path.endsWith(`.${kind}`)), `no .${kind} came from the build`);
      }
    } finally {
      await server.close();
    }
  });
}

test("Vite's development server answers with the package left as it is", { timeout: 60_000 }, async () => {
  const server = await createServer(
    settings({ optimizeDeps: { exclude: ["tiefsee"] }, server: { host: "127.0.0.1", port: 0, hmr: false, ws: false } }),
  );
  try {
    await server.listen();
    await answersAt(`http://127.0.0.1:${server.httpServer.address().port}/`);
  } finally {
    await server.close();
  }
});
