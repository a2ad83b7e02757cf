/** The settings of the next answer. */

import type { ChatMessage, SamplingOptions } from "../src/types.js";
import { byId } from "./dom.js";

/** A number that was entered, or nothing: then it is as the model recommends. */
function entered(id: string): number | null {
  const { valueAsNumber } = byId(id, HTMLInputElement);
  return Number.isNaN(valueAsNumber) ? null : valueAsNumber;
}

export function samplingOptions(): SamplingOptions {
  return {
    temperature: entered("temperature"),
    top_p: entered("top-p"),
    max_tokens: entered("max-tokens"),
    seed: entered("seed"),
  };
}

export function systemPrompt(): ChatMessage[] {
  const content = byId("system", HTMLTextAreaElement).value.trim();
  return content ? [{ role: "system", content }] : [];
}

/** Whether the earlier messages are part of the next request. */
export const sendsHistory = (): boolean => byId("history", HTMLInputElement).checked;

export function setUpSettings(): void {
  // Enter in a field would otherwise send the form, and the page with it.
  byId("settings", HTMLFormElement).addEventListener("submit", (event) => event.preventDefault());
}
