/** What the page has to say: the last sentence under the conversation, all of them in the log. */

import { byId, element } from "./dom.js";

/** Shows a sentence and keeps it in the log. */
export function say(sentence: string): void {
  byId("status", HTMLElement).textContent = sentence;
  log(sentence);
}

/** Keeps a sentence in the log. */
export function log(sentence: string): void {
  const now = new Date();
  const time = element("time", "", now.toLocaleTimeString([], { hour12: false }));
  time.dateTime = now.toISOString();
  byId("log", HTMLElement).append(element("li", "", time, sentence));
}

/** Tells those who listen what those who look see anyway. */
export function announce(text: string): void {
  byId("announcer", HTMLElement).textContent = text;
}
