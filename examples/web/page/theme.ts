/** Light, dark, or as the system has it. */

import { byId } from "./dom.js";
import { recall, remember } from "./storage.js";

/** Calls `onChange` whenever the colours have changed. */
export function setUpTheme(onChange: () => void): void {
  const select = byId("theme", HTMLSelectElement);
  const apply = (): void => {
    document.documentElement.dataset.theme = select.value;
    onChange();
  };
  const remembered = recall("theme");
  if (remembered === "light" || remembered === "dark") select.value = remembered;
  select.addEventListener("change", () => {
    remember("theme", select.value);
    apply();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", onChange);
  apply();
}
