/** Draws experts on a canvas: a row for each layer, a column for each expert. */

import type { Uses } from "./experts.js";

export interface Picture {
  uses: Uses;
  /** The experts of the token that is shown, to be outlined. */
  token: number[][] | undefined;
}

export interface Cell {
  layer: number;
  expert: number;
}

/** Room for the names of rows, at the left, and of columns, below. */
const LEFT = 24;
const BELOW = 18;
/** Narrower cells cannot be told apart; then the map is wider than its box, which scrolls. */
const LEAST_WIDTH = 3;
const MOST_HEIGHT = 24;
const LEAST_HEIGHT = 5;
/** All rows together, if they fit. */
const HEIGHT = 280;

export class HeatMap {
  private width = 0;
  private height = 0;
  private layers = 0;
  private experts = 0;

  constructor(readonly canvas: HTMLCanvasElement) {}

  draw({ uses, token }: Picture): void {
    this.layers = uses.counts.length;
    this.experts = uses.counts[0]?.length ?? 0;
    const room = this.canvas.parentElement!.clientWidth - 8 - LEFT;
    this.width = Math.max(LEAST_WIDTH, room / this.experts);
    this.height = Math.max(LEAST_HEIGHT, Math.min(MOST_HEIGHT, HEIGHT / this.layers));
    const context = this.prepare();
    const style = getComputedStyle(this.canvas);
    const mark = style.getPropertyValue("--mark");
    const ramp = between(style.getPropertyValue("--least"), style.getPropertyValue("--most"));
    uses.counts.forEach((counts, layer) => {
      counts.forEach((count, expert) => {
        context.fillStyle = ramp(uses.most > 0 ? count / uses.most : 0);
        this.fill(context, layer, expert);
      });
    });
    token?.forEach((list, layer) => list.forEach((expert) => this.outline(context, layer, expert, mark)));
    this.label(context, style);
  }

  /** The cell at a point of the canvas, in CSS pixels. */
  at(x: number, y: number): Cell | null {
    const expert = Math.floor((x - LEFT) / this.width);
    const layer = Math.floor(y / this.height);
    const inside = x >= LEFT && expert < this.experts && y >= 0 && layer < this.layers;
    return inside ? { layer, expert } : null;
  }

  /** A canvas of the right size, with CSS pixels as its unit. */
  private prepare(): CanvasRenderingContext2D {
    const { canvas } = this;
    const [width, height] = [LEFT + this.width * this.experts, this.height * this.layers + BELOW];
    const scale = devicePixelRatio;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    const context = canvas.getContext("2d")!;
    context.scale(scale, scale);
    return context;
  }

  private box(layer: number, expert: number): [x: number, y: number, width: number, height: number] {
    const gap = this.width >= 6 && this.height >= 6 ? 2 : this.width >= 4 ? 1 : 0;
    return [LEFT + expert * this.width, layer * this.height, this.width - gap, this.height - gap];
  }

  private fill(context: CanvasRenderingContext2D, layer: number, expert: number): void {
    context.fillRect(...this.box(layer, expert));
  }

  private outline(context: CanvasRenderingContext2D, layer: number, expert: number, colour: string): void {
    context.fillStyle = context.strokeStyle = colour;
    context.lineWidth = 2;
    // An outline needs something inside; a cell without is filled.
    const [x, y, width, height] = this.box(layer, expert);
    if (width >= 8 && height >= 8) context.strokeRect(x + 1, y + 1, width - 2, height - 2);
    else this.fill(context, layer, expert);
  }

  private label(context: CanvasRenderingContext2D, style: CSSStyleDeclaration): void {
    context.fillStyle = style.getPropertyValue("--faint");
    context.font = `${style.fontSize} ${style.fontFamily}`;
    context.textBaseline = "middle";
    context.textAlign = "right";
    // Names would overlap where rows are low or columns narrow: then only some have theirs.
    const rows = this.height >= 11 ? 1 : 10;
    for (let layer = 0; layer < this.layers; layer++) {
      if (rows === 1 || (layer + 1) % rows === 0) context.fillText(String(layer + 1), LEFT - 6, (layer + 0.5) * this.height);
    }
    context.textAlign = "center";
    const columns = [1, 2, 4, 8, 16, 32, 64].find((step) => step * this.width >= 20) ?? 128;
    for (let expert = 0; expert < this.experts; expert += columns) {
      context.fillText(String(expert), LEFT + (expert + 0.5) * this.width - 1, this.layers * this.height + BELOW / 2 + 1);
    }
  }
}

/** A ramp from one colour, as a computed style writes it, to another. */
function between(from: string, to: string): (share: number) => string {
  const [low, high] = [from, to].map((colour) => (colour.match(/[\d.]+/g) ?? []).map(Number)) as [number[], number[]];
  return (share) => `rgb(${[0, 1, 2].map((part) => Math.round(low[part]! + (high[part]! - low[part]!) * share)).join(" ")})`;
}
