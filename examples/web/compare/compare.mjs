// Compares the package with onnxruntime-web on WebGPU: in one browser, in one run, by turns.
//
//     npm ci && python3 make_models.py --verify     (needs numpy, onnx and onnxruntime)
//     node compare.mjs [--rounds 5] [--repeats 50] [--tokens 64] [--limit 0.8]
//                      [--builds default,webgpu] [--theirs-only] [--software]
//
// It measures what both can do: a product of a 4-bit matrix of 2048x2048 and a vector, queued back to
// back or with its result read back each time, and a token of a small decoder.
//
// The decoders are of one size and not the same: onnxruntime-web has no DeepSeek model, and this
// package no Llama. Both have 4 layers of 512, 8 heads, gated MLPs of 1408 and 4096 tokens, as many
// parameters within one percent (both counts are printed), and projections of 4.5 or 5 bits a weight,
// with 32-bit activations. Llama's query, key and value projections stand against the latent attention
// of DeepSeek-V2, whose up-projection stays 16 bits wide here: if anything, ours has more to read.
//
// Theirs runs as fast as it can be made to: the fastest of its builds, with and without a captured
// graph, with caches on the GPU that grow or are fixed; masks and positions, which exported models
// compute in the graph, come as ready numbers. Its results are compared with its own CPU kernels. Those
// themselves, in WebAssembly, are no part of this: where there is no GPU they beat any software adapter.
//
// Prints the median over the rounds of ours over theirs. Ends with 1 if that is above the limit for the
// queued product or for the token. `CHROMIUM` names the browser; `--software` takes its software
// adapter even where there is a GPU.

import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { chromium } from "playwright-core";
import { startServer } from "../test/server.mjs";

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    repeats: { type: "string", default: "50" },
    tokens: { type: "string", default: "64" },
    limit: { type: "string", default: "0.8" },
    builds: { type: "string", default: "default,webgpu" },
    "theirs-only": { type: "boolean", default: false },
    software: { type: "boolean", default: false },
  },
});
const [rounds, repeats, tokens, limit] = ["rounds", "repeats", "tokens", "limit"].map((name) => {
  const value = Number(options[name]);
  if (!(value > 0)) throw new Error(`--${name} takes a number above 0`);
  return value;
});

/** Rows of the table: how a side measures them, and whether the limit holds for them. */
const OPERATIONS = [
  { name: "product 2048x2048", by: "matvec", pick: (times) => times.queued, limited: true },
  { name: "  with read-back", by: "matvec", pick: (times) => times.readBack, limited: false },
  { name: "token of a decoder", by: "decode", pick: (time) => time, limited: true },
];
const AMOUNT = { matvec: repeats, decode: tokens };

const FLAGS = [
  "--no-sandbox",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--enable-unsafe-webgpu", // else there is no adapter without a GPU
  ...(options.software ? ["--use-webgpu-adapter=swiftshader"] : []),
];

const server = await startServer({
  root: fileURLToPath(new URL("..", import.meta.url)),
  files: { "/index.html": "<!doctype html><title>comparison</title>", "/favicon.ico": "" },
  headers: {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
  },
});
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: FLAGS,
});
try {
  process.exitCode = await compare();
} finally {
  await browser.close();
  await server.close();
}

async function compare() {
  const plan = JSON.parse(await readFile(new URL("models/run.json", import.meta.url)));
  await printHeader(plan);
  const theirs = await chooseBuilds();
  const ours = options["theirs-only"] ? undefined : await openSide("ours");
  if (ours) {
    // Compiles its kernels, as the trial did for theirs.
    await ours.call("matvec", 5);
    await ours.call("decode", 8);
  }

  const times = { ours: [], theirs: [] }; // by round: {matvec, decode}
  for (let round = 0; round < rounds; round++) {
    const one = { ours: {}, theirs: {} };
    for (const by of ["matvec", "decode"]) {
      const turns = round % 2 ? ["ours", "theirs"] : ["theirs", "ours"];
      for (const side of turns) {
        const page = side === "ours" ? ours : theirs[by];
        if (page) one[side][by] = await page.call(by, AMOUNT[by]);
      }
    }
    times.ours.push(one.ours);
    times.theirs.push(one.theirs);
  }
  return printTable(times) ? 0 : 1;
}

/** The page of the fastest of their builds, for each operation. */
async function chooseBuilds() {
  const best = {};
  for (const build of options.builds.split(",")) {
    const side = await openSide("theirs", build);
    const trial = await side.call("trial", Math.min(repeats, 10), Math.min(tokens, 8));
    for (const by of ["matvec", "decode"]) {
      const { way, milliseconds } = trial[by];
      console.log(`theirs, ${build} build, ${by}: ${milliseconds.toFixed(2)} ms (${way})`);
      if (!(best[by]?.milliseconds <= milliseconds)) best[by] = { side, milliseconds, build };
    }
    const check = await side.call("check");
    if (!check) {
      console.log("theirs was not compared with its CPU kernels: make_models.py was run without --verify");
    } else if (!(check.matvec < 1e-4 && check.logits < 1e-4 && check.sameTokens)) {
      throw new Error(`theirs computes something else on the GPU: ${JSON.stringify(check)}`);
    }
  }
  console.log(`theirs goes on with: matvec ${best.matvec.build}, decode ${best.decode.build}\n`);
  return { matvec: best.matvec.side, decode: best.decode.side };
}

/** A page with one side loaded into it. */
async function openSide(side, ...settings) {
  const page = await openPage();
  await page.evaluate(
    async ([side, settings]) => {
      const { load } = await import(`/compare/${side}.js`);
      globalThis.side = await load(...settings);
    },
    [side, settings],
  );
  return {
    async call(method, ...values) {
      await page.bringToFront();
      return page.evaluate(([method, values]) => globalThis.side[method](...values), [method, values]);
    },
  };
}

async function openPage() {
  const page = await browser.newPage();
  page.on("console", (message) => {
    if (message.type() === "error") console.error(message.text());
  });
  await page.goto(`${server.url}/index.html`);
  return page;
}

async function printHeader(plan) {
  const page = await openPage();
  const adapter = await page.evaluate(async () => {
    const info = (await navigator.gpu?.requestAdapter())?.info;
    if (!info) return undefined;
    const name = info.description || [info.vendor, info.architecture].filter(Boolean).join(" ");
    return name + (info.isFallbackAdapter ? " (software)" : "");
  });
  await page.close();
  if (!adapter) throw new Error("this browser gives no WebGPU adapter");
  const version = async (path) => JSON.parse(await readFile(new URL(path, import.meta.url))).version;
  const theirs = await version("node_modules/onnxruntime-web/package.json");
  const ours = await version("../package.json");
  console.log(`Chromium ${browser.version()}, ${adapter}; tiefsee ${ours}, onnxruntime-web ${theirs}`);
  const count = (side) => `${side} ${plan.parameters[side].toLocaleString("en")}`;
  console.log(`parameters of the decoders: ${count("ours")}, ${count("theirs")}`);
}

/** Prints all rows; false if one is above the limit. */
function printTable(times) {
  const row = ([name, ...cells]) => {
    console.log(name.padEnd(20) + cells.map((cell) => cell.padStart(14)).join(""));
  };
  row(["milliseconds", "ours", "theirs", "ours/theirs", "range"]);
  let within = true;
  for (const { name, by, pick, limited } of OPERATIONS) {
    const [ours, theirs] = [times.ours, times.theirs].map((side) =>
      side.filter((round) => by in round).map((round) => pick(round[by])),
    );
    const ratios = ours.map((time, round) => time / theirs[round]).sort((a, b) => a - b);
    const range = ratios.length ? `${ratios[0].toFixed(2)}-${ratios.at(-1).toFixed(2)}` : "";
    row([name, formatMedian(ours), formatMedian(theirs), formatMedian(ratios), range]);
    if (limited && median(ratios) > limit) within = false;
  }
  if (!within) console.log(`above the limit of ${limit}`);
  return within;
}

function formatMedian(numbers) {
  return numbers.length ? median(numbers).toFixed(3) : "-";
}

function median(numbers) {
  const sorted = numbers.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
