/** Loading a model, with its progress, a way out, and another try. */

import { Engine } from "./tiefsee/index.js";
import type { Choice } from "./chooser.js";
import { byId } from "./dom.js";
import { failure } from "./failure.js";
import { duration } from "./format.js";
import { ProgressView } from "./progress.js";
import { say } from "./status.js";

/** Loads a model; null if the user gives up. */
export async function load(choice: Choice): Promise<Engine | null> {
  for (;;) {
    const outcome = await attempt(choice);
    if (outcome !== "again") return outcome;
  }
}

async function attempt(choice: Choice): Promise<Engine | "again" | null> {
  const abort = new AbortController();
  const cancel = byId("cancel", HTMLButtonElement);
  const trouble = byId("loading-error", HTMLElement);
  const progress = new ProgressView();
  byId("loading-title", HTMLElement).textContent = `Loading ${choice.name}`;
  trouble.replaceChildren();
  cancel.textContent = "Cancel";
  cancel.onclick = () => abort.abort();
  // What had the focus is hidden now.
  cancel.focus();
  const begun = performance.now();
  try {
    const engine = await Engine.create(choice.model, {
      ...choice.options,
      signal: abort.signal,
      onProgress: (update) => progress.set(update),
      onNotice: say,
    });
    say(`Loaded ${choice.name} in ${duration(performance.now() - begun)} on ${engine.adapter.name}.`);
    return engine;
  } catch (error) {
    if (abort.signal.aborted) {
      say("Loading was cancelled.");
      return null;
    }
    return await new Promise((resolve) => {
      trouble.append(failure(error, () => resolve("again")));
      cancel.textContent = "Choose another model";
      cancel.onclick = () => resolve(null);
    });
  }
}
