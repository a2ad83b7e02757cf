// The native program on the software driver that Chromium uses, for comparing.

import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

/** The repository, with a slash at the end. */
export const REPOSITORY = fileURLToPath(new URL("../../../", import.meta.url));

/** Where the native program is. */
export const PROGRAM = process.env.TIEFSEE ?? `${process.env.CARGO_TARGET_DIR ?? `${REPOSITORY}target`}/release/tiefsee`;

/** Runs the program on SwiftShader and gives what it prints. */
export async function native(...given) {
  const command = ["tests/on.sh", "swiftshader", "all", PROGRAM, ...given];
  const run = promisify(execFile)("sh", command, { cwd: REPOSITORY, maxBuffer: 1 << 26 });
  // It would read a question from there.
  run.child.stdin.end();
  const { stdout } = await run;
  // The first line names the driver.
  return stdout.slice(stdout.indexOf("\n") + 1);
}

/** The bundled model's greedy answer to a question, as the object that `run --json` prints. */
export async function nativeAnswer(question) {
  return JSON.parse(await native("run", "demo", "--json", "--temperature", "0", question));
}
