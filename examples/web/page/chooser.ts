/** Choosing a model: the bundled one, an address, or files; and how it is to be loaded. */

import type { CreateOptions, ModelSource } from "../src/types.js";
import { byId } from "./dom.js";
import { acceptDrops } from "./drop.js";

/** What the user chose. */
export interface Choice {
  model: ModelSource;
  /** What to call it. */
  name: string;
  options: CreateOptions;
}

export const isBundled = (choice: Choice): boolean => choice.model === "demo";

/** The choice of this address, `demo` for the bundled model, with the options as they stand. */
export function choiceOf(url: string): Choice {
  if (url === "demo") return { model: url, name: "the bundled model", options: options() };
  return { model: url, name: url.replace(/\/+$/, "").split("/").pop() || url, options: options() };
}

/** The model that the address of the page names, as `#model=demo` or `#model=<url>`. */
export function linkedModel(): string | null {
  return new URLSearchParams(location.hash.slice(1)).get("model");
}

/** Calls `onChoice` with what the user chooses. */
export function setUpChooser(onChoice: (choice: Choice) => void): void {
  const url = byId("model-url", HTMLInputElement);
  byId("load-demo", HTMLButtonElement).addEventListener("click", () => onChoice(choiceOf("demo")));
  byId("url-form", HTMLFormElement).addEventListener("submit", (event) => {
    event.preventDefault();
    // The token goes only where the user has just said, not to a link's or a kept model's server.
    const token = byId("token", HTMLInputElement).value.trim();
    const choice = choiceOf(url.value.trim());
    if (token) choice.options.headers = { Authorization: `Bearer ${token}` };
    onChoice(choice);
  });
  for (const id of ["pick-files", "pick-folder"]) {
    const input = byId(id, HTMLInputElement);
    input.addEventListener("change", () => {
      const files = [...(input.files ?? [])];
      // Choosing the same files once more shall count as a choice.
      input.value = "";
      const folder = files[0]?.webkitRelativePath.split("/")[0];
      if (files.length) onChoice({ model: files, name: folder || "files of this device", options: options() });
    });
  }
  acceptDrops(byId("drop", HTMLElement), (model, name) => onChoice({ model, name, options: options() }));
}

function options(): CreateOptions {
  const chosen: CreateOptions = {
    keep: byId("keep", HTMLInputElement).checked,
    noF16: !byId("f16", HTMLInputElement).checked,
  };
  const context = byId("context", HTMLInputElement).valueAsNumber;
  if (!Number.isNaN(context)) chosen.context = context;
  const format = byId("quantize", HTMLSelectElement).value as NonNullable<CreateOptions["quantize"]> | "";
  if (format) chosen.quantize = format;
  return chosen;
}
