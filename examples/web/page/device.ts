/** The device, and whether its kernels compute what they should. */

import type { Engine } from "./tiefsee/index.js";
import type { Adapter, Check, Support } from "../src/types.js";
import { byId, describe, element } from "./dom.js";
import { bytes, duration } from "./format.js";

/** The adapter before a model is loaded: what the browser tells of it. */
export function showSupport({ name, vendor, architecture, software }: Extract<Support, { supported: true }>["adapter"]): void {
  byId("adapter", HTMLElement).textContent = name;
  byId("software-warning", HTMLElement).hidden = !software;
  describe(byId("device", HTMLElement), told(vendor, architecture));
}

/** The adapter that a model runs on, with what is used of it. */
export function showAdapter(adapter: Adapter): void {
  showSupport(adapter);
  describe(byId("device", HTMLElement), [
    ...told(adapter.vendor, adapter.architecture),
    ["16-bit floats", adapter.f16 ? "used" : "not used"],
    ["Subgroups", adapter.subgroupSize > 0 ? `used, of ${adapter.subgroupSize} lanes` : "not used"],
    ["Largest binding", bytes(adapter.bindingBytes)],
  ]);
  byId("disabled", HTMLElement).replaceChildren(...adapter.disabled.map((sentence) => element("li", "", sentence)));
}

function told(vendor: string, architecture: string): [string, string][] {
  return [
    ["Vendor", vendor || "not told by the browser"],
    ["Architecture", architecture || "not told by the browser"],
  ];
}

/** Makes the button run the self-test of this engine; without one it cannot be pressed. */
export function offerSelfTest(engine: Engine | null): void {
  const run = byId("self-test", HTMLButtonElement);
  run.disabled = engine === null;
  run.onclick = engine && (async () => {
    run.disabled = true;
    await selfTest(engine);
    run.disabled = false;
  });
}

async function selfTest(engine: Engine): Promise<void> {
  const result = byId("self-test-result", HTMLElement);
  const table = byId("checks", HTMLElement);
  const body = table.querySelector("tbody")!;
  const begun = performance.now();
  table.hidden = false;
  body.replaceChildren();
  result.className = "";
  result.textContent = "Running…";
  try {
    const checks = await engine.selfTest((check) => body.append(row(check)));
    const failed = checks.filter((check) => !check.passed);
    result.className = failed.length === 0 ? "passed" : "failed";
    result.textContent = failed.length === 0
      ? `All ${checks.length} checks passed in ${duration(performance.now() - begun)}.`
      : `${failed.length} of ${checks.length} checks failed: ${failed.map((check) => check.kernel).join(", ")}.`;
  } catch (error) {
    result.className = "failed";
    result.textContent = `The self-test broke off: ${error instanceof Error ? error.message : String(error)}`;
  }
}

/** 0 → "0", 0.0000123 → "1.2e-5" */
const short = (value: number): string => (value === 0 ? "0" : value.toExponential(1));

/** A long name goes on in the next line after an underscore. */
const breakable = (name: string) => name.split(/(?<=_)/).flatMap((part) => [element("wbr"), part]);

function row({ kernel, format, error, tolerance, passed, fault }: Check): HTMLElement {
  const head = element("th", "", ...breakable(kernel));
  head.scope = "row";
  const made = element(
    "tr",
    "",
    head,
    element("td", "", ...breakable(format ?? "–")),
    element("td", "", error === null ? "–" : short(error)),
    element("td", "", short(tolerance)),
    element("td", passed ? "passed" : "failed", passed ? "yes" : "no"),
  );
  if (fault) head.append(element("p", "failed", fault));
  return made;
}
