/** The page: what is shown when, and which model is loaded. */

import { Engine } from "./tiefsee/index.js";
import { Chat } from "./chat.js";
import { type Choice, choiceOf, isBundled, linkedModel, setUpChooser } from "./chooser.js";
import { offerSelfTest, showAdapter, showSupport } from "./device.js";
import { byId } from "./dom.js";
import { ExpertsPanel } from "./experts-panel.js";
import { showKept } from "./kept.js";
import { load } from "./loading.js";
import { keepSite } from "./offline.js";
import { setUpSettings } from "./settings.js";
import { say } from "./status.js";
import { setUpTheme } from "./theme.js";

const experts = new ExpertsPanel();
const chat = new Chat(experts);
let engine: Engine | null = null;
let loading = false;

/** Shows one of the page's states in the place of the others. */
function show(state: "unsupported" | "chooser" | "loading" | "chat"): void {
  for (const id of ["unsupported", "chooser", "loading", "chat"]) byId(id, HTMLElement).hidden = id !== state;
  byId("panels", HTMLElement).hidden = state === "unsupported";
}

function choose(): void {
  byId("back", HTMLElement).hidden = engine === null;
  show("chooser");
  void showKept((url) => void open(choiceOf(url)));
}

async function open(choice: Choice): Promise<void> {
  if (loading) return;
  loading = true;
  show("loading");
  // Two models at a time may not fit.
  await close();
  engine = await load(choice);
  loading = false;
  if (!engine) {
    choose();
    return byId("main", HTMLElement).focus();
  }
  engine.addEventListener("devicelost", (event) => say(`The device was lost: ${message(event)}`));
  engine.addEventListener("devicerecovered", (event) => say(`The device is back: ${message(event)}`));
  showAdapter(engine.adapter);
  offerSelfTest(engine);
  byId("model-name", HTMLElement).textContent = isBundled(choice) ? "Bundled model" : choice.name;
  show("chat");
  chat.open(engine, isBundled(choice));
}

async function close(): Promise<void> {
  chat.close();
  offerSelfTest(null);
  // What fails in letting go of a model is no hindrance for the next.
  await engine?.unload().catch((error: unknown) => say(`Unloading: ${String(error)}`));
  engine = null;
}

const message = (event: Event): string => (event as CustomEvent<{ message: string }>).detail.message;

function openLinked(): boolean {
  const url = linkedModel();
  if (url) void open(choiceOf(url));
  return url !== null && url !== "";
}

function refuse(reason: string): void {
  byId("unsupported-reason", HTMLElement).textContent = reason;
  show("unsupported");
}

async function start(): Promise<void> {
  const support = await Engine.isSupported();
  if (!support.supported) return refuse(support.reason);
  showSupport(support.adapter);
  setUpChooser((choice) => void open(choice));
  setUpSettings();
  byId("change-model", HTMLButtonElement).addEventListener("click", choose);
  byId("back", HTMLButtonElement).addEventListener("click", () => show("chat"));
  addEventListener("hashchange", openLinked);
  if (!openLinked()) choose();
}

setUpTheme(() => experts.update());
void keepSite();
start().catch((error: unknown) => refuse(String(error)));
