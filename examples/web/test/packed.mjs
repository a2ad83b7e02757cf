// The package as npm would deliver it, installed in a project of its own.

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const WEB = fileURLToPath(new URL("..", import.meta.url));
const npm = (folder, ...given) => execFileSync("npm", given, { cwd: folder, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });

/** What `npm pack` says that it packs. */
export const packedFiles = () => JSON.parse(npm(WEB, "pack", "--dry-run", "--json"))[0].files.map(({ path }) => path);

/** A new project in a temporary folder, with `files` by name, that has the package in its node_modules. */
export function newProject(files) {
  const root = mkdtempSync(join(tmpdir(), "tiefsee-"));
  const remove = () => rmSync(root, { recursive: true, force: true });
  try {
    writeFileSync(join(root, "package.json"), '{"private": true, "type": "module"}');
    for (const [name, text] of Object.entries(files)) writeFileSync(join(root, name), text);
    const [{ filename }] = JSON.parse(npm(WEB, "pack", "--json", "--pack-destination", root));
    npm(root, "install", "--offline", "--no-audit", "--no-fund", `./${filename}`);
  } catch (error) {
    remove();
    throw error;
  }
  return { root, remove };
}
