// What the tests in a browser share: one Chromium with WebGPU on SwiftShader, and a bare page that has the package.

import assert from "node:assert/strict";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

import { chromium } from "playwright-core";

import { startServer } from "./server.mjs";

/** The folder of the web package. */
export const WEB = fileURLToPath(new URL("..", import.meta.url));

const WEBGPU = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"];
const QUIET = [
  "--no-sandbox",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** Scripts are files of their own, so that a content security policy can allow the page's own and no other. */
const BARE = {
  "/bare.html": '<!doctype html><meta charset="utf-8"><title>bare</title><script type="module" src="/bare.js"></script>',
  "/bare.js": `
    import * as tiefsee from "/dist/index.js";

    /** The bundled model's answer to a sum; greedy, so always the same. */
    async function ask(engine, content = "What is 27 + 48?") {
      const reply = await engine.chat.completions.create({ messages: [{ role: "user", content }], temperature: 0 });
      return reply.choices[0].message.content;
    }

    /** Loads a model and asks it: all there is to tell of it, or the error. Never rejects. */
    async function loadAndAsk(model, options = {}) {
      const seen = { progress: [], notices: [] };
      const start = performance.now();
      let engine;
      try {
        engine = await tiefsee.Engine.create(model, {
          ...options,
          onProgress: ({ phase, loaded, total }) => seen.progress.push([phase, loaded, total]),
          onNotice: (sentence) => seen.notices.push(sentence),
        });
        seen.adapter = engine.adapter;
        seen.model = engine.model;
        seen.answer = await ask(engine);
        seen.stats = await engine.stats();
      } catch (error) {
        seen.error = { name: error?.name, code: error?.code, message: error?.message ?? String(error) };
      } finally {
        await engine?.unload();
      }
      seen.took = performance.now() - start;
      return seen;
    }

    Object.assign(window, { tiefsee, ask, loadAndAsk });
  `,
};

/**
 * Starts a Chromium: the one that the variable CHROMIUM names, or one in PATH. `webgpu: false` leaves WebGPU
 * off, as it is where the browser has no graphics card; `args` are more arguments of its command line.
 */
export function openBrowser({ webgpu = true, args = [] } = {}) {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? findChromium(),
    args: [...QUIET, ...(webgpu ? WEBGPU : []), ...args],
  });
}

function findChromium() {
  const folders = (process.env.PATH ?? "").split(delimiter);
  for (const name of ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]) {
    for (const folder of folders) {
      try {
        accessSync(join(folder, name), constants.X_OK);
        return join(folder, name);
      } catch {
        // Not there.
      }
    }
  }
  throw new Error("no Chromium in PATH; the variable CHROMIUM may name one");
}

/** A server of the package, under /dist/, and of a bare page. Options as for `startServer`. */
export function servePackage({ files = {}, ...options } = {}) {
  return startServer({ root: WEB, ...options, files: { ...BARE, ...files } });
}

/**
 * A page that has loaded the package into `window.tiefsee`, besides two functions for tests, `ask` and `loadAndAsk`.
 *
 * - `server`: who serves it, of `servePackage()`; one of its own unless given;
 * - `csp`, `headers`: sent with every answer of its own server;
 * - `context`: where it opens, which has its own storage; a new one unless given.
 *
 * `close()` closes what was opened here.
 */
export async function openPage(browser, { csp, headers = {}, server, context } = {}) {
  const policy = csp === undefined ? {} : { "Content-Security-Policy": csp };
  const ownServer = server ? undefined : await servePackage({ headers: { ...policy, ...headers } });
  const ownContext = context ? undefined : await browser.newContext();
  const page = await (context ?? ownContext).newPage();
  const home = server ?? ownServer;
  await page.goto(`${home.url}/bare.html`);
  await page.waitForFunction(() => window.tiefsee);
  return {
    page,
    server: home,
    context: context ?? ownContext,
    async close() {
      await page.close();
      await ownContext?.close();
      await ownServer?.close();
    },
  };
}

/** Asserts that the GPU was SwiftShader, and so that there was one at all. */
export function onSwiftShader(adapter) {
  assert.ok(adapter, "no adapter");
  assert.equal(adapter.architecture, "swiftshader", `adapter: ${JSON.stringify(adapter)}`);
}

/** Asserts that what `loadAndAsk` saw is an answer of the bundled model, from a GPU. */
export function answered(seen) {
  assert.equal(seen.error, undefined, JSON.stringify(seen.error));
  onSwiftShader(seen.adapter);
  assert.match(seen.answer, /\b75\b/);
}

/** Asserts that what `loadAndAsk` saw is a failure with `code`, in words that match `pattern`, within `seconds`. */
export function failed(seen, code, pattern, seconds = 20) {
  assert.ok(seen.error, `it did not fail, but answered ${JSON.stringify(seen.answer)}`);
  assert.equal(seen.error.code, code, JSON.stringify(seen.error));
  assert.match(seen.error.message, pattern);
  assert.ok(seen.took < seconds * 1000, `it took ${seen.took} ms`);
}
