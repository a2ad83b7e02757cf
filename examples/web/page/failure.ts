/** Failures in words, with what can be done. */

import { TiefseeError } from "./tiefsee/index.js";
import type { ErrorCode } from "../src/types.js";
import { button, element } from "./dom.js";
import { log } from "./status.js";

const ADVICE: Record<ErrorCode, string> = {
  usage: "Change what was asked for (the options, or the settings) and try again.",
  context_length_exceeded: "Start a new conversation, write less, or load the model with a larger context.",
  not_found: "Check the address or the choice of files: config.json, tokenizer.json and every safetensors file must be in one folder.",
  damaged: "Fetch the file again from where it came from; if it was kept on this device, delete it there first.",
  unsupported: "Choose another model, or the same one in a format that is supported: safetensors in f32, f16 or bf16.",
  no_adapter: "Switch on hardware acceleration in the browser's settings, update the graphics driver, and start the browser again.",
  does_not_fit: "Under Options choose a smaller context or q4_0 weights, close other pages that use the GPU, or choose a smaller model.",
  device_lost: "The driver gave up, or the system took the GPU away. Try again; if it happens again, load the model anew.",
  non_finite: "The model computed a number that is none. Try again; if it happens again, run the self-test.",
  template: "The model's chat template does not accept this conversation. Without a system prompt, or in a new conversation, it may.",
  network: "Check the connection, then try again: what has come already is not fetched twice. The server must also allow requests from other sites (CORS).",
  authorization: "Enter an access token under Options that may read this model.",
  changed: "The model's files are no longer those that were begun with. Try again to fetch the new ones.",
  wrong_hash: "The file did not come as it was published. Try again; if it happens again, do not trust its source.",
  unloaded: "Load a model to go on.",
  internal: "This is a fault of tiefsee: please report it with the log and the name of the device.",
};

/** An element that tells of a failure, with a button for another try where that may help. */
export function failure(error: unknown, retry: () => void): HTMLElement {
  const code = error instanceof TiefseeError ? error.code : "internal";
  const what = error instanceof Error && error.message ? error.message : String(error);
  log(`Failed: ${what}`);
  const shown = element("div", "error", element("p", "what", what), element("p", "", ADVICE[code]));
  shown.setAttribute("role", "alert");
  shown.dataset.code = code;
  shown.append(button("", "Try again", retry));
  return shown;
}
