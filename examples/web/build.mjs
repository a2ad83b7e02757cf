// From TypeScript and the WebAssembly module to dist/ (the npm package) and site/ (the demo page).

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const model = (file) => here(`../demo-model/${file}`);
const CHUNK = 4 << 20;
const SMALL_FILES = ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"];

/** Everything below a folder, in a fixed order. */
function filesBelow(folder) {
  const entries = readdirSync(folder, { recursive: true }).map((name) => name.replaceAll("\\", "/"));
  return entries.filter((name) => statSync(join(folder, name)).isFile()).sort();
}

/** What a manifest says of the bundled model's weights. */
function weightsManifest() {
  const bytes = readFileSync(model("model.safetensors"));
  const starts = Array.from({ length: Math.ceil(bytes.length / CHUNK) }, (_, index) => index * CHUNK);
  const sha256 = starts.map((start) => createHash("sha256").update(bytes.subarray(start, start + CHUNK)).digest("hex"));
  return { version: 1, chunk_bytes: CHUNK, file: { size: bytes.length, sha256 } };
}

/** The bundled model's small files, and the hashes of its large one, as a module. */
function writeDemoFiles() {
  const texts = SMALL_FILES.map((file) => [file, JSON.stringify(JSON.parse(readFileSync(model(file), "utf8")))]);
  const module = [
    "/** The small files of the bundled model, by name. Written by build.mjs. */",
    "export const DEMO_FILES: ReadonlyMap<string, Uint8Array> = new Map(",
    `  (${JSON.stringify(texts)} as [string, string][])`,
    "    .map(([file, text]) => [file, new TextEncoder().encode(text)]),",
    ");",
    "",
    "/** What a manifest says of its weights, whatever they are called. */",
    `export const DEMO_WEIGHTS = ${JSON.stringify(weightsManifest())};`,
  ];
  writeFileSync(here("src/demo-files.ts"), `${module.join("\n")}\n`);
}

function compile(project) {
  execFileSync(process.execPath, [here("node_modules/typescript/bin/tsc"), "-p", here(project)], { stdio: "inherit" });
}

function buildPackage() {
  rmSync(here("dist"), { recursive: true, force: true });
  writeDemoFiles();
  compile("tsconfig.json");
  mkdirSync(here("dist/wasm"), { recursive: true });
  for (const file of ["tiefsee.js", "tiefsee.d.ts", "tiefsee_bg.wasm"]) cpSync(here(`src/wasm/${file}`), here(`dist/wasm/${file}`));
  mkdirSync(here("dist/demo"), { recursive: true });
  cpSync(model("model.safetensors"), here("dist/demo/model.safetensors"));
  for (const licence of ["LICENSE-MIT", "LICENSE-APACHE"]) cpSync(here(`../../${licence}`), here(licence));
}

/** The page with the package beside it, and the list of files for those who read it without a network. */
function buildSite() {
  rmSync(here("site"), { recursive: true, force: true });
  cpSync(here("dist"), here("site/tiefsee"), { recursive: true });
  compile("page/tsconfig.json");
  cpSync(here("site/.build/page"), here("site"), { recursive: true });
  rmSync(here("site/.build"), { recursive: true });
  compile("page/tsconfig.sw.json");
  for (const file of filesBelow(here("page"))) {
    if (!/\.ts$|\.json$/.test(file)) cpSync(here(`page/${file}`), here(`site/${file}`));
  }
  for (const file of filesBelow(here("site"))) {
    if (file.endsWith(".d.ts")) rmSync(here(`site/${file}`));
  }
  const files = filesBelow(here("site")).filter((file) => file !== "sw.js");
  const hash = createHash("sha256");
  for (const file of files) hash.update(file).update(readFileSync(here(`site/${file}`)));
  const version = hash.digest("hex").slice(0, 16);
  writeFileSync(here("site/site-files.json"), JSON.stringify({ version, files }));
}

buildPackage();
buildSite();
const total = (folder) => filesBelow(here(folder)).reduce((sum, file) => sum + statSync(here(`${folder}/${file}`)).size, 0);
console.log(`dist/: ${total("dist")} bytes, .wasm ${statSync(here("dist/wasm/tiefsee_bg.wasm")).size}; site/: ${total("site")} bytes`);
