/** The marks in a paragraph's text: what `inline.js` makes elements of. Every text takes time in proportion to its length. */

import { isSafe } from "./node.js";

const ENTITIES = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0", hellip: "…", ndash: "–", mdash: "—", times: "×" };
const MARK = /[\\`*_~[\]!<&$\n]|https?:\/\//gi;
const PUNCTUATION = /[\p{P}\p{S}]/u;
/** Words of these scripts stand beside each other without a space. */
const SPACELESS = /[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Hangul}\p{sc=Thai}]/u;
const TARGET =
  /\(\s*(?:<([^<>\n]{0,2000})>|((?:[^\s()<>]|\([^\s()<>]{0,500}\)){0,2000}))(?:\s+(?:"[^"]{0,300}"|'[^']{0,300}'|\([^()]{0,300}\)))?\s*\)/y;
const ANGLED = /<(https?:\/\/[^\s<>]{1,2000})>/iy;
const LINE_BREAK = /<br\s{0,9}\/?>/iy;
const ENTITY = /&(?:([a-z]{2,8})|#(\d{1,7})|#x([\da-f]{1,6}));/iy;
const ADDRESS = /https?:\/\/[^\s<>"`\\|]{1,2000}/iy;

/**
 * The tokens of a text, in order, each with a `type`:
 *
 * - `text` with its `text`; `code`; `math` with its `text` and `block`; `break`;
 * - `run` of `length` times `char` (`*`, `_` or `~`) that `opens` or `closes` emphasis, or both;
 * - `link` with `href`, `image` and `end`, the index of the token after the last of what it encloses;
 * - `address` with `href` and `text`.
 */
export function tokens(text) {
  return new Scanner(text).scan();
}

class Scanner {
  constructor(text) {
    this.text = text;
    this.at = 0;
    this.tokens = [];
    /** Indices of brackets that are open. */
    this.open = [];
    /** What does not occur any more, so that nobody looks for it again. */
    this.absent = new Set();
  }

  scan() {
    const { text } = this;
    while (this.at < text.length) {
      MARK.lastIndex = this.at;
      const mark = MARK.exec(text);
      if (!mark) break;
      this.literal(text.slice(this.at, mark.index));
      this.at = mark.index;
      if (!this.mark(mark[0])) this.literal(text[this.at++]);
    }
    this.literal(text.slice(this.at));
    return this.tokens;
  }

  literal(text) {
    const last = this.tokens.at(-1);
    if (text === "") return;
    if (last?.type === "text" && !last.bracket) last.text += text;
    else this.tokens.push({ type: "text", text });
  }

  /** Reads what begins with a mark; false if that is nothing but text. */
  mark(mark) {
    switch (mark) {
      case "\\":
        return this.escape();
      case "`":
        return this.code();
      case "$":
        return this.dollars();
      case "*":
      case "_":
      case "~":
        return this.run(mark);
      case "!":
        return this.text[this.at + 1] === "[" && this.bracket("![");
      case "[":
        return this.bracket("[");
      case "]":
        return this.close();
      case "<":
        return this.angle();
      case "&":
        return this.entity();
      case "\n":
        return this.push(1, { type: "break" });
      default:
        return this.address();
    }
  }

  push(length, token) {
    this.tokens.push(token);
    this.at += length;
    return true;
  }

  match(pattern) {
    pattern.lastIndex = this.at;
    return pattern.exec(this.text);
  }

  /** Where a text comes next; -1 if it does not. */
  find(what, from) {
    if (this.absent.has(what)) return -1;
    const found = this.text.indexOf(what, from);
    if (found < 0) this.absent.add(what);
    return found;
  }

  escape() {
    const next = this.text[this.at + 1] ?? "";
    if (next === "(" && this.math("\\(", "\\)", false)) return true;
    if (next === "[" && this.math("\\[", "\\]", true)) return true;
    if (next === "\n") return this.push(2, { type: "break" });
    if (!/[!-/:-@[-`{-~]/.test(next)) return false;
    this.literal(next);
    this.at += 2;
    return true;
  }

  math(opening, closing, block) {
    const start = this.at + opening.length;
    const end = this.find(closing, start);
    if (end < 0 || this.text.slice(start, end).trim() === "") return false;
    return this.push(end + closing.length - this.at, { type: "math", text: this.text.slice(start, end).trim(), block });
  }

  /** Dollars about a formula, not before an amount. */
  dollars() {
    if (this.text[this.at + 1] === "$") return this.math("$$", "$$", true);
    const end = this.find("$", this.at + 1);
    if (end < 0 || !/\S/.test(this.text[this.at + 1]) || !/\S/.test(this.text[end - 1])) return false;
    if (/[\da-z]/i.test(this.text[end + 1] ?? "") || /\n/.test(this.text.slice(this.at, end))) return false;
    return this.math("$", "$", false);
  }

  code() {
    const [run] = this.match(/`+/y);
    const start = this.at + run.length;
    this.ends ??= backticks(this.text);
    const ends = this.ends.get(run.length) ?? [];
    while (ends.length > 0 && ends.at(-1) < start) ends.pop();
    if (ends.length === 0) {
      this.literal(run);
      this.at = start;
      return true;
    }
    const end = ends.pop();
    const inner = this.text.slice(start, end).replaceAll("\n", " ");
    const padded = /^ .* $/.test(inner) && inner.trim() !== "";
    return this.push(end + run.length - this.at, { type: "code", text: padded ? inner.slice(1, -1) : inner });
  }

  run(char) {
    const { text, at } = this;
    let end = at;
    while (text[end] === char) end++;
    const length = end - at;
    // One tilde is an "about".
    if (char === "~" && length !== 2) {
      this.literal(text.slice(at, end));
      this.at = end;
      return true;
    }
    const before = side(at === 0 ? "" : String.fromCodePoint(text.codePointAt(isLow(text, at - 1) ? at - 2 : at - 1)));
    const after = side(end === text.length ? "" : String.fromCodePoint(text.codePointAt(end)));
    const left = !after.space && (!after.punctuation || before.edge);
    const right = !before.space && (!before.punctuation || after.edge);
    const opens = left && (char !== "_" || !right || before.punctuation);
    const closes = right && (char !== "_" || !left || after.punctuation);
    return this.push(length, { type: "run", char, length, opens, closes });
  }

  bracket(text) {
    this.open.push(this.tokens.length);
    // A text that nothing is added to, as it may become a link.
    return this.push(text.length, { type: "text", text, bracket: true });
  }

  close() {
    if (this.open.length === 0) return false;
    const index = this.open.pop();
    const image = this.tokens[index].text === "![";
    this.at++;
    const target = this.match(TARGET);
    const href = target && unescape(target[1] ?? target[2]);
    if (!href || !isSafe(href)) {
      this.at--;
      return false;
    }
    this.at += target[0].length;
    this.tokens[index] = { type: "link", href, image, end: this.tokens.length };
    // So that the next text is not added to one that the link encloses.
    this.tokens.push({ type: "text", text: "", bracket: true });
    // A link is in no other link.
    if (!image) this.open = [];
    return true;
  }

  angle() {
    const lineBreak = this.match(LINE_BREAK);
    if (lineBreak) return this.push(lineBreak[0].length, { type: "break" });
    const angled = this.match(ANGLED);
    if (!angled || !isSafe(angled[1])) return false;
    return this.push(angled[0].length, { type: "address", href: angled[1], text: angled[1] });
  }

  entity() {
    const found = this.match(ENTITY);
    if (!found) return false;
    const [whole, name, decimal, hexadecimal] = found;
    const code = decimal ? Number(decimal) : Number.parseInt(hexadecimal, 16);
    const character = name ? ENTITIES[name] : code > 0 && code <= 0x10ffff && String.fromCodePoint(code);
    if (!character) return false;
    this.literal(character);
    this.at += whole.length;
    return true;
  }

  address() {
    if (/[\p{L}\p{N}]/u.test(this.text[this.at - 1] ?? "")) return false;
    const found = this.match(ADDRESS);
    if (!found) return false;
    const href = withoutEnd(found[0]);
    if (!isSafe(href)) return false;
    return this.push(href.length, { type: "address", href, text: href });
  }
}

/** An address without the sentence's marks that follow it. */
function withoutEnd(address) {
  let end = address.length;
  let surplus = 0;
  for (const char of address) surplus += char === ")" ? 1 : char === "(" ? -1 : 0;
  for (; end > 0; end--) {
    const last = address[end - 1];
    if (last === ")" && surplus > 0) surplus--;
    else if (!/[?!.,:;*_~'"\]，。；：！？）」』】]/.test(last)) break;
  }
  return address.slice(0, end);
}

/** Where runs of backticks begin, by their length, the last first. */
function backticks(text) {
  const ends = new Map();
  for (const { 0: run, index } of text.matchAll(/`+/g)) {
    if (!ends.has(run.length)) ends.set(run.length, []);
    ends.get(run.length).push(index);
  }
  for (const places of ends.values()) places.reverse();
  return ends;
}

/** What stands beside a run: the beginning and the end of a text are a space. */
function side(char) {
  const space = char === "" || /\s/.test(char);
  const punctuation = PUNCTUATION.test(char);
  return { space, punctuation, edge: space || punctuation || SPACELESS.test(char) };
}

const isLow = (text, at) => at > 0 && (text.charCodeAt(at) & 0xfc00) === 0xdc00;

const unescape = (text) => text.replace(/\\([!-/:-@[-`{-~])/g, "$1");
