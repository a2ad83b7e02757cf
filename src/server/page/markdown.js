/** Markdown to nodes: blocks, of a whole text or of one that still comes. HTML in it is text. */

import { formula } from "./formula.js";
import { inline } from "./inline.js";
import { node } from "./node.js";
import { isDelimiter, table } from "./table.js";

/** Lists and quotes in each other beyond this stay text. */
const MOST_DEPTH = 10;
/** A formula has no more lines. */
const MOST_FORMULA = 200;

const BLANK = /^\s*$/;
const HEADING = /^ {0,3}(#{1,6})(?:\s(.*))?$/;
const UNDERLINE = /^ {0,3}(={1,200}|-{3,200})\s*$/;
const RULE = /^ {0,3}(?:(?:\*\s*){3,100}|(?:-\s*){3,100}|(?:_\s*){3,100})$/;
const FENCE = /^( {0,3})(`{3,}|~{3,})([^`]*)$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( {0,3})([-+*]|\d{1,9}[.)])(?:( +)(.*)|)$/;
const NESTED = /^ *(?:[-+*]|\d{1,9}[.)])(?: |$)/;
const TASK = /^\[([ xX])\]\s+/;
const FORMULA = /^ {0,3}(\$\$|\\\[)(.*)$/;
const CLOSINGS = { $$: "$$", "\\[": "\\]" };

/** The blocks of a text. */
export function parse(text) {
  return new Blocks(linesOf(text), 0).read().map((block) => block.node);
}

/** A text that comes in parts. A block that is whole keeps its identity, so nobody has to look at it again. */
export class MarkdownStream {
  #whole = [];
  #rest = "";

  /** Takes the next part of the text. */
  push(part) {
    this.#rest += part.replaceAll("\r", "");
  }

  /** The blocks of the text so far: the same as `parse` has. */
  blocks() {
    this.#settle();
    return [...this.#whole, ...parse(this.#rest)];
  }

  /** Only a whole line shows what it is, and only the next block ends the one before. */
  #settle() {
    const end = this.#rest.lastIndexOf("\n");
    if (end < 0) return;
    const lines = linesOf(this.#rest.slice(0, end));
    const found = new Blocks(lines, 0).read();
    const last = found.pop();
    if (found.length === 0) return;
    for (const block of found) this.#whole.push(block.node);
    this.#rest = [...lines.slice(last.line), this.#rest.slice(end + 1)].join("\n");
  }
}

function linesOf(text) {
  return text.replaceAll("\r", "").split("\n").map(untabbed);
}

/** Tabs at a line's beginning reach to the next multiple of four. */
function untabbed(line) {
  if (!/^ *\t/.test(line)) return line;
  const [white] = /^[ \t]*/.exec(line);
  let width = 0;
  for (const char of white) width += char === "\t" ? 4 - (width % 4) : 1;
  return " ".repeat(width) + line.slice(white.length);
}

const indentOf = (line) => /^ */.exec(line)[0].length;

/** Whether a line ends a paragraph without a blank line between. */
function interrupts(line, depth) {
  if (HEADING.test(line) || RULE.test(line) || FENCE.test(line) || FORMULA.test(line)) return true;
  if (depth >= MOST_DEPTH) return false;
  if (QUOTE.test(line)) return true;
  const item = ITEM.exec(line);
  return item !== null && !BLANK.test(item[4] ?? "") && (/^[-+*]/.test(item[2]) || Number.parseInt(item[2], 10) === 1);
}

/** Reads lines into blocks. */
class Blocks {
  constructor(lines, depth) {
    this.lines = lines;
    this.depth = depth;
    this.at = 0;
    /** Whether a blank line stands between two blocks. */
    this.loose = false;
  }

  /** The blocks, each with the `line` it begins with. */
  read() {
    const blocks = [];
    let blank = false;
    while (this.at < this.lines.length) {
      if (BLANK.test(this.lines[this.at])) {
        blank = true;
        this.at++;
        continue;
      }
      this.loose ||= blank && blocks.length > 0;
      blank = false;
      const line = this.at;
      blocks.push({ line, node: this.block() });
    }
    return blocks;
  }

  block() {
    const line = this.lines[this.at];
    const nests = this.depth < MOST_DEPTH;
    if (indentOf(line) >= 4) return this.indented();
    if (FENCE.test(line)) return this.fence();
    if (HEADING.test(line)) return this.heading();
    if (RULE.test(line)) return this.rule();
    if (nests && QUOTE.test(line)) return this.quote();
    if (nests && ITEM.test(line)) return this.list();
    if (FORMULA.test(line)) return this.formula();
    if (this.beginsTable(this.at)) return this.table();
    return this.paragraph();
  }

  beginsTable(at) {
    return at + 1 < this.lines.length && isDelimiter(this.lines[at], this.lines[at + 1]);
  }

  /** The lines from here to the first that `isLast` accepts, which is left out. */
  takeUntil(isLast) {
    const start = this.at;
    while (this.at < this.lines.length && !isLast(this.lines[this.at])) this.at++;
    return this.lines.slice(start, this.at);
  }

  heading() {
    const [, marks, text = ""] = HEADING.exec(this.lines[this.at++]);
    return heading(marks.length, text.trim().replace(/(?:^|\s)#+$/, ""));
  }

  rule() {
    this.at++;
    return node("hr");
  }

  fence() {
    const [, indent, marks, info] = FENCE.exec(this.lines[this.at++]);
    const closes = new RegExp(`^ {0,3}${marks[0]}{${marks.length},}\\s*$`);
    const inner = this.takeUntil((line) => closes.test(line));
    this.at++;
    const unindent = new RegExp(`^ {0,${indent.length}}`);
    return code(inner.map((line) => line.replace(unindent, "")), info.trim().split(/\s/)[0]);
  }

  indented() {
    const inner = this.takeUntil((line) => !BLANK.test(line) && indentOf(line) < 4);
    while (BLANK.test(inner.at(-1))) inner.pop();
    return code(inner.map((line) => line.slice(4)), "");
  }

  /** A formula; one that is not closed yet reaches to the end. */
  formula() {
    const [, opening, first] = FORMULA.exec(this.lines[this.at]);
    const closing = CLOSINGS[opening];
    const inner = [first];
    let end = this.at + 1;
    for (; !inner.at(-1).includes(closing) && end < this.lines.length; end++) {
      if (BLANK.test(this.lines[end]) || inner.length === MOST_FORMULA) return this.paragraph();
      inner.push(this.lines[end]);
    }
    const [text, after = ""] = inner.join("\n").split(closing);
    if (!BLANK.test(after) || BLANK.test(text)) return this.paragraph();
    this.at = end;
    return node("div", { class: "math block" }, [formula(text.trim(), true)]);
  }

  table() {
    const start = this.at;
    this.at += 2;
    const rows = this.takeUntil((line) => BLANK.test(line) || interrupts(line, this.depth));
    return table(this.lines[start], this.lines[start + 1], rows);
  }

  paragraph() {
    const lines = [this.lines[this.at++].trim()];
    for (; this.at < this.lines.length; this.at++) {
      const line = this.lines[this.at];
      const underline = UNDERLINE.exec(line);
      if (underline) {
        this.at++;
        return heading(underline[1][0] === "=" ? 1 : 2, lines.join("\n"));
      }
      if (BLANK.test(line) || interrupts(line, this.depth) || this.beginsTable(this.at)) break;
      lines.push(line.trim());
    }
    return node("p", {}, inline(lines.join("\n")));
  }

  quote() {
    const inner = new Inner();
    for (; this.at < this.lines.length; this.at++) {
      const line = this.lines[this.at];
      if (QUOTE.test(line)) inner.push(line.replace(QUOTE, ""));
      else if (this.isLazy(line, inner)) inner.push(line);
      else break;
    }
    const blocks = new Blocks(inner.lines, this.depth + 1).read();
    return node("blockquote", {}, blocks.map((block) => block.node));
  }

  /** Whether a line without the marks of its container goes on with that container's last paragraph. */
  isLazy(line, inner) {
    const before = inner.lines.at(-1) ?? "";
    if (inner.fence || BLANK.test(line) || BLANK.test(before) || interrupts(line, this.depth)) return false;
    return !HEADING.test(before) && !RULE.test(before) && !FENCE.test(before) && indentOf(before) < 4;
  }

  list() {
    const [, , marker] = ITEM.exec(this.lines[this.at]);
    const kind = marker.at(-1);
    const items = [];
    let loose = false;
    for (;;) {
      const item = this.item();
      items.push(item.nodes);
      loose ||= item.loose;
      let next = this.at;
      while (next < this.lines.length && BLANK.test(this.lines[next])) next++;
      const following = ITEM.exec(this.lines[next] ?? "");
      if (!following || following[2].at(-1) !== kind || RULE.test(this.lines[next])) break;
      loose ||= next > this.at;
      this.at = next;
    }
    const children = items.map((nodes) => node("li", {}, loose ? nodes : nodes.flatMap(tight)));
    if (/\d/.test(marker)) return node("ol", { start: String(Number.parseInt(marker, 10)) }, children);
    return node("ul", {}, children);
  }

  /** The item that begins here, without blank lines that follow it. */
  item() {
    const [, before, marker, space = " ", first = ""] = ITEM.exec(this.lines[this.at++]);
    // An item that begins with code has its own spaces.
    const width = before.length + marker.length + (space.length > 4 ? 1 : space.length);
    const nested = Math.min(width, before.length + 2);
    const inner = new Inner();
    inner.push(space.length > 4 ? space.slice(1) + first : first);
    for (let at = this.at; at < this.lines.length; at++) {
      const line = this.lines[at];
      const indent = indentOf(line);
      if (!BLANK.test(line)) {
        const belongs = indent >= width || (indent >= nested && NESTED.test(line) && !inner.fence);
        if (!belongs && (ITEM.test(line) || !this.isLazy(line, inner))) break;
        this.at = at + 1;
      }
      inner.push(line.slice(Math.min(indent, width)));
    }
    return itemBlocks(inner.lines, this.depth + 1);
  }
}

/** The lines within a quote or an item. */
class Inner {
  lines = [];
  /** What a fence that is open began with. */
  fence = null;

  push(line) {
    this.lines.push(line);
    const [, , marks, info] = FENCE.exec(line) ?? [];
    if (!marks) return;
    if (!this.fence) this.fence = marks;
    else if (marks.startsWith(this.fence) && BLANK.test(info)) this.fence = null;
  }
}

function itemBlocks(lines, depth) {
  const task = TASK.exec(lines[0]);
  const reader = new Blocks(task ? [lines[0].slice(task[0].length), ...lines.slice(1)] : lines, depth);
  const nodes = reader.read().map((block) => block.node);
  if (task) nodes.unshift(task[1] === " " ? "☐ " : "☑ ");
  return { nodes, loose: reader.loose };
}

/** In a tight list a paragraph is only its text. */
const tight = (block) => (block.tag === "p" ? block.children : [block]);

/** The page has headings of its own above an answer's. */
const heading = (level, text) => node(`h${Math.min(level + 2, 6)}`, {}, inline(text));

function code(lines, language) {
  const copy = node("button", { type: "button", class: "quiet copy-code" }, ["Copy"]);
  const head = node("div", { class: "code-head" }, [node("span", {}, language ? [language] : []), copy]);
  const text = lines.join("\n");
  const block = node("pre", { tabindex: "0" }, [node("code", {}, text ? [text] : [])]);
  return node("div", { class: "code" }, [head, block]);
}
