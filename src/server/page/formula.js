/** Formulas of TeX to MathML, as nodes. What is not known here stays as it was written. */

import { node } from "./node.js";
import { FENCES, FUNCTIONS, LARGE, lettered, LETTERS, LIMITS, OVER, SIGNS, SPACES, UNDER } from "./symbols.js";

const MOST_LETTERS = 4000;
const MOST_DEPTH = 24;
const COMMAND = /\\([a-zA-Z]+|[^])/y;
/** More room after a line. */
const GAP = /\[\s?-?[\d.]+\s?[a-z]{2}\]/y;
const FRACTIONS = new Set(["frac", "dfrac", "tfrac", "cfrac"]);
const TEXTS = new Set(["text", "textrm", "textbf", "textit", "mbox", "mathrm", "operatorname"]);
const ALPHABETS = new Set(["mathbb", "mathbf", "mathcal", "mathscr", "boldsymbol", "bm", "mathit", "mathsf", "mathtt", "mathnormal"]);
const SIZES = /^(?:big|Big|bigg|Bigg)[lrm]?$/;
/** What changes nothing that can be seen here. */
const NOTHING = new Set(["displaystyle", "textstyle", "limits", "nolimits", "nonumber", "notag", "hline"]);

/** A formula, on a line of its own if `block`: MathML, or the text itself. */
export function formula(text, block) {
  const read = text.length <= MOST_LETTERS ? attempt(text, block) : null;
  return read ? node("math", block ? { display: "block" } : {}, read) : text;
}

function attempt(text, block) {
  try {
    const reader = new Reader(text, block);
    const read = reader.lines();
    return reader.at === text.length ? read : null;
  } catch (error) {
    if (error instanceof Unknown) return null;
    throw error;
  }
}

/** Something that is no TeX, or more of it than is known here. */
class Unknown extends Error {}

const sign = (text, attributes = {}) => node("mo", attributes, [text]);
const row = (children) => (children.length === 1 ? children[0] : node("mrow", {}, children));

class Reader {
  constructor(text, block) {
    this.text = text;
    this.at = 0;
    this.depth = 0;
    /** Whether large signs have room below and above. */
    this.block = block;
  }

  /** The whole, which may have several lines. */
  lines() {
    const rows = this.cells();
    if (rows.length === 1 && rows[0].length === 1) return rows[0][0];
    return [table(rows, "aligned")];
  }

  space() {
    while (/\s/.test(this.text[this.at] ?? "")) this.at++;
    return this.text[this.at] ?? "";
  }

  /** Takes this text if it comes next. */
  takes(what) {
    this.space();
    const comes = this.text.startsWith(what, this.at);
    if (comes) this.at += what.length;
    return comes;
  }

  /** The name of the command that begins here, without taking it; null if none does. */
  command() {
    if (this.space() !== "\\") return null;
    COMMAND.lastIndex = this.at;
    return COMMAND.exec(this.text)?.[1] ?? null;
  }

  /** Takes what matches here, if it does. */
  matches(pattern) {
    pattern.lastIndex = this.at;
    const [found] = pattern.exec(this.text) ?? [""];
    this.at += found.length;
    return found;
  }

  needs(what) {
    if (!this.takes(what)) throw new Unknown();
  }

  /** Nodes until something that ends a row: a brace, a cell, a line, or `\right` and `\end`. */
  row() {
    if (++this.depth > MOST_DEPTH) throw new Unknown();
    const nodes = [];
    for (;;) {
      const next = this.space();
      if (next === "" || next === "}" || next === "&") break;
      if (next === "\\" && ["\\", "right", "end", "cr"].includes(this.command())) break;
      nodes.push(...this.scripted());
    }
    this.depth--;
    return nodes;
  }

  cells() {
    const rows = [[this.row()]];
    for (;;) {
      if (this.takes("&")) rows.at(-1).push(this.row());
      else if (this.command() === "\\") {
        this.at += 2;
        this.matches(GAP);
        rows.push([this.row()]);
      } else return rows;
    }
  }

  /** What stands in braces, or the next sign alone. */
  argument() {
    if (++this.depth > MOST_DEPTH) throw new Unknown();
    const braced = this.takes("{");
    const nodes = braced ? this.row() : this.atom(true);
    if (braced) this.needs("}");
    this.depth--;
    return row(nodes);
  }

  /** What stands in braces, as it is written. */
  raw() {
    this.needs("{");
    const end = this.text.indexOf("}", this.at);
    const inner = this.text.slice(this.at, end);
    if (end < 0 || inner.includes("{") || /\\[a-zA-Z]/.test(inner)) throw new Unknown();
    this.at = end + 1;
    return inner.replace(/\\(.)/g, "$1").replaceAll("$", "");
  }

  /** An atom with what stands above and below its end. */
  scripted() {
    const name = this.command();
    const base = this.space() === "^" || this.space() === "_" ? [node("mrow")] : this.atom(false);
    while (NOTHING.has(this.command())) this.at += this.command().length + 1;
    const [below, above] = this.scripts();
    if (!above && !below) return base;
    const around = (LARGE.has(name) && this.block) || LIMITS.has(name) || name === "underbrace" || name === "overbrace";
    const tags = around ? ["munderover", "mover", "munder"] : ["msubsup", "msup", "msub"];
    const parts = [row(base), ...(below ? [below] : []), ...(above ? [above] : [])];
    return [node(tags[below && above ? 0 : above ? 1 : 2], {}, parts)];
  }

  /** What stands below and above the end of an atom; null for nothing. */
  scripts() {
    const above = [];
    let below = null;
    let raised = false;
    for (;;) {
      if (this.takes("'")) above.push(sign("′"));
      else if (!raised && this.takes("^")) raised = above.push(this.argument()) > 0;
      else if (!below && this.takes("_")) below = this.argument();
      else break;
    }
    if ("^_".includes(this.space() || " ")) throw new Unknown();
    return [below, above.length > 0 ? row(above) : null];
  }

  /** The next thing, as nodes; of a number only a digit if `single`. */
  atom(single) {
    const next = this.space();
    if (next === "\\") return this.commanded();
    if (next === "{") return [this.argument()];
    if (next === "" || next === "}" || next === "&" || next === "#" || next === "^" || next === "_") throw new Unknown();
    const digits = this.matches(single ? /\d/y : /\d+(?:[.,]\d+)*/y);
    if (digits) return [node("mn", {}, [digits])];
    const letter = String.fromCodePoint(this.text.codePointAt(this.at));
    this.at += letter.length;
    if (letter === "~") return [space(0.25)];
    if (letter === "-") return [sign("−")];
    return [/\p{L}/u.test(letter) ? node("mi", {}, [letter]) : sign(letter, /[()[\]|/]/.test(letter) ? { stretchy: "false" } : {})];
  }

  commanded() {
    const name = this.command();
    if (name === null) throw new Unknown();
    this.at += name.length + 1;
    if (LETTERS.has(name)) return [node("mi", {}, [LETTERS.get(name)])];
    if (SIGNS.has(name)) return [sign(SIGNS.get(name), { stretchy: "false" })];
    if (LARGE.has(name)) return [sign(LARGE.get(name))];
    if (FUNCTIONS.has(name) || LIMITS.has(name)) return [node("mi", {}, [name])];
    if (SPACES.has(name)) return [space(SPACES.get(name))];
    if ("{}$%&_#|".includes(name)) return [sign(name === "|" ? "‖" : name, { stretchy: "false" })];
    if (NOTHING.has(name)) return [];
    if (SIZES.test(name)) return [this.delimiter()].filter((one) => one !== null);
    return this.built(name);
  }

  /** Commands with arguments. */
  built(name) {
    if (FRACTIONS.has(name)) return [node("mfrac", {}, [this.argument(), this.argument()])];
    if (TEXTS.has(name)) return [node("mtext", {}, [this.raw().replaceAll(" ", "\u00a0")].filter(Boolean))];
    if (OVER.has(name)) return [node("mover", { accent: "true" }, [this.argument(), sign(OVER.get(name))])];
    if (UNDER.has(name)) return [node("munder", {}, [this.argument(), sign(UNDER.get(name))])];
    if (ALPHABETS.has(name)) return [inAlphabet(name, this.argument())];
    switch (name) {
      case "sqrt":
        return [this.root()];
      case "binom":
      case "dbinom":
      case "tbinom":
        return [sign("("), node("mfrac", { linethickness: "0" }, [this.argument(), this.argument()]), sign(")")];
      case "boxed":
      case "fbox":
        return [node("mrow", { class: "boxed" }, [this.argument()])];
      case "overset":
      case "stackrel":
        return [node("mover", {}, [this.argument(), this.argument()].reverse())];
      case "underset":
        return [node("munder", {}, [this.argument(), this.argument()].reverse())];
      case "xrightarrow":
        return [node("mover", {}, [sign("→"), this.argument()])];
      case "pmod":
        return [space(0.5), sign("("), node("mi", {}, ["mod"]), space(0.25), this.argument(), sign(")")];
      case "tag":
        return [space(2), node("mtext", {}, [`(${this.raw()})`])];
      case "not":
        return this.atom(true).map((each) => ({ ...each, children: each.children.map((text) => `${text}\u0338`) }));
      case "left":
        return [this.fenced()];
      case "begin":
        return [this.environment()];
      default:
        throw new Unknown();
    }
  }

  root() {
    if (!this.takes("[")) return node("msqrt", {}, [this.argument()]);
    const end = this.text.indexOf("]", this.at);
    const degree = this.text.slice(this.at, end);
    if (end < 0 || !/^\s*\w+\s*$/.test(degree)) throw new Unknown();
    this.at = end + 1;
    return node("mroot", {}, [this.argument(), node("mn", {}, [degree.trim()])]);
  }

  /** A delimiter; null for `.`, which is none. */
  delimiter(attributes = {}) {
    const [found] = this.space() === "\\" ? this.commanded() : this.atom(true);
    if (found?.tag !== "mo") throw new Unknown();
    return found.children[0] === "." ? null : sign(found.children[0], attributes);
  }

  fenced() {
    const opening = this.delimiter();
    const inner = this.row();
    this.needs("\\right");
    const closing = this.delimiter();
    return node("mrow", {}, [opening, ...inner, closing].filter((one) => one !== null));
  }

  environment() {
    const name = this.raw();
    const fences = FENCES.get(name);
    if (!fences) throw new Unknown();
    if (name === "array" || name === "alignedat") this.raw();
    if (++this.depth > MOST_DEPTH) throw new Unknown();
    const rows = this.cells();
    this.depth--;
    this.needs("\\end");
    if (this.raw() !== name) throw new Unknown();
    const [opening, closing] = fences.map((fence) => (fence ? [sign(fence)] : []));
    return node("mrow", {}, [...opening, table(rows, name), ...closing]);
  }
}

/** A table; the last row is none if it is empty. */
function table(rows, name) {
  const last = rows.at(-1);
  const kept = rows.length > 1 && last.length === 1 && last[0].length === 0 ? rows.slice(0, -1) : rows;
  const aligned = /^(?:align|split|cases|gather|equation)/.test(name);
  return node("mtable", aligned ? { class: name === "cases" ? "cases" : "aligned" } : {}, kept.map((cells) => {
    return node("mtr", {}, cells.map((cell) => node("mtd", {}, cell)));
  }));
}

const space = (ems) => node("mspace", { width: `${ems}em` });

function inAlphabet(name, from) {
  const children = from.children.map((child) => (typeof child === "string" ? [...child].map((letter) => lettered(name, letter)).join("") : inAlphabet(name, child)));
  return { ...from, children };
}
