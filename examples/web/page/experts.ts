/** Which experts the tokens of one conversation, up to one answer, were sent to. */

import type { Experts } from "../src/types.js";

/** Of which tokens the uses are counted. */
export type View = "answer" | "recent" | "prompt";

/** `[layer][expert]`: tokens that were sent to it. */
type Counts = number[][];

/** What each token back counts less in the view of the last tokens. */
const FADE = 0.9;

/** The uses of a view, for drawing and for reading. */
export interface Uses {
  counts: Counts;
  /** The largest of them. */
  most: number;
  /** How many tokens were counted. */
  tokens: number;
}

export class ExpertLog {
  /** `[layer][slot]` of every token that is known, by its position. */
  private readonly tokens = new Map<number, number[][]>();
  private list: number[] = [];
  private sharedSlots = Infinity;
  private largest = 0;
  private last = -1;
  /** The position of the first token of the answer. */
  first = 0;

  /** Takes in what a chunk reports; `generated` says whether its tokens are of the answer. */
  add({ position, layers }: Experts, generated: boolean): void {
    const tokens = layers[0]?.length ?? 0;
    for (let token = 0; token < tokens; token++) {
      const lists = layers.map((layer) => layer[token]!);
      this.tokens.set(position + token, lists);
      lists.forEach((list) => this.learn(list));
    }
    this.last = position + tokens - 1;
    if (!generated) this.first = this.last + 1;
  }

  /** The position of the token that the text generated next is of: the one after the last that was read. */
  get next(): number {
    return this.last + 1;
  }

  /** The positions of the answer's tokens that were read. */
  get answer(): number[] {
    return [...this.tokens.keys()].filter((position) => position >= this.first);
  }

  get layers(): number {
    return this.tokens.values().next().value?.length ?? 0;
  }

  /** Experts that serve every token: named last in each list, with ids above the routed ones. */
  get shared(): number {
    return Math.min(this.sharedSlots, this.list.length - 1);
  }

  /** Experts of a layer that tokens are sent to; as far as seen, where none is shared. */
  get routed(): number {
    return this.shared > 0 ? this.list[this.list.length - this.shared]! : this.largest + 1;
  }

  /** The routed experts of a token in each layer, best first. */
  of(position: number): number[][] | undefined {
    return this.tokens.get(position)?.map((list) => list.slice(0, list.length - this.shared));
  }

  /** Whether a token went to an expert. */
  went(position: number, layer: number, expert: number): boolean {
    return this.tokens.get(position)?.[layer]?.includes(expert) ?? false;
  }

  uses(view: View): Uses {
    const counts = Array.from({ length: this.layers }, () => new Array<number>(this.routed).fill(0));
    const chosen = [...this.tokens.keys()].filter((position) => position >= this.first === (view !== "prompt"));
    chosen.forEach((position, at) => {
      const weight = view === "recent" ? FADE ** (chosen.length - 1 - at) : 1;
      this.tokens.get(position)!.forEach((list, layer) => {
        for (let slot = 0; slot < list.length - this.shared; slot++) counts[layer]![list[slot]!]! += weight;
      });
    });
    return { counts, most: Math.max(...counts.flat(), 0), tokens: chosen.length };
  }

  /** The reports do not say which experts are shared: those that end every list, above all others. */
  private learn(list: number[]): void {
    if (this.list.length === 0) this.list = list;
    let same = 0;
    while (same < list.length && list.at(-1 - same) === this.list.at(-1 - same)) same++;
    this.sharedSlots = Math.min(this.sharedSlots, same);
    this.largest = Math.max(this.largest, ...list);
  }
}

/** The most used experts of a layer, with their counts. */
export function favourites(counts: number[], most: number): { expert: number; count: number }[] {
  const used = counts.map((count, expert) => ({ expert, count })).filter(({ count }) => count > 0);
  return used.sort((a, b) => b.count - a.count).slice(0, most);
}
