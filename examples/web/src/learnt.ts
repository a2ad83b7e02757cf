import { readJson, storage, write } from "./source/opfs.js";

/** A file in the root of the origin-private file system: what was learnt of GPUs, by adapter. */
const FILE = "tiefsee-learnt.json";

/** What earlier visits learnt of the GPU, as the WebAssembly module reads and writes it. */
export interface Learnt {
  /** The text called `name`, if there is one. */
  read(name: string): string | undefined;
  /** Keeps a text for later visits; where that is not possible, for this one. */
  write(name: string, text: string): void;
}

/** What is kept on this device. */
export async function openLearnt(): Promise<Learnt> {
  const folder = await storage();
  const texts: Record<string, string> = (folder && (await readJson<Record<string, string>>(folder, FILE))) ?? {};
  return {
    read: (name) => texts[name],
    write(name, text) {
      texts[name] = text;
      // Nothing waits for it, and nothing is lost but time.
      if (folder) void write(folder, FILE, JSON.stringify(texts)).catch(() => {});
    },
  };
}
