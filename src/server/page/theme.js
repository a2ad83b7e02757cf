/** Light, dark, or as the system has it. */

import { byId } from "./dom.js";
import { recall, remember } from "./storage.js";

export function setUpTheme() {
  const select = byId("theme");
  const remembered = recall("theme");
  if (remembered === "light" || remembered === "dark") select.value = remembered;
  const apply = () => (document.documentElement.dataset.theme = select.value);
  select.addEventListener("change", () => {
    remember("theme", select.value);
    apply();
  });
  apply();
}
