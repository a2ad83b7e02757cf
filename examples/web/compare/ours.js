// Our side of the comparison, in a page of its own: the package as `make web` leaves it.

import { Engine } from "../dist/index.js";

/** Loads the checkpoint, packed into blocks of four bits as theirs is. */
export async function load() {
  const plan = await (await fetch(new URL("models/run.json", import.meta.url))).json();
  const folder = new URL("models/ours/", import.meta.url);
  const engine = await Engine.create(folder, { quantize: "q4_0", keep: false });
  const size = { rows: plan.matvec, columns: plan.matvec };

  return {
    /** Milliseconds of a product. */
    async matvec(repeats) {
      const time = (repeats) => Engine.timeMatmul({ ...size, format: "q4_0", repeats });
      return { queued: await time(repeats), readBack: await time(1) };
    },
    /** Milliseconds of a token, from the first generated one on. */
    async decode(tokens) {
      const request = { prompt: plan.prompt, max_tokens: tokens + 1, temperature: 0 };
      const { usage, timings } = await engine.completions.create(request);
      if (usage.completion_tokens !== tokens + 1) {
        throw new Error(`${usage.completion_tokens} tokens instead of ${tokens + 1}`);
      }
      return timings.decode_ms / tokens;
    },
  };
}
