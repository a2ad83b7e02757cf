/** Markdown within a paragraph: a text to nodes. */

import { formula } from "./formula.js";
import { add, node } from "./node.js";
import { tokens } from "./tokens.js";

/** Emphasis in emphasis beyond this stays text. */
const MOST_OPEN = 24;
const TAGS = { "*1": "em", _1: "em", "*2": "strong", _2: "strong", "~2": "del" };

/** The nodes of a paragraph's text. */
export function inline(text) {
  const all = tokens(text);
  return nodes(all, 0, all.length, false);
}

function nodes(all, from, to, inLink) {
  const frames = new Frames();
  for (let index = from; index < to; index++) {
    const token = all[index];
    switch (token.type) {
      case "run":
        frames.run(token);
        break;
      case "link":
        frames.add(linked(all, index, inLink));
        index = token.end - 1;
        break;
      case "address":
        frames.add(inLink ? token.text : link(token.href, [token.text]));
        break;
      case "code":
        frames.add(node("code", {}, [token.text]));
        break;
      case "math":
        frames.add(node("span", { class: token.block ? "math block" : "math" }, [formula(token.text, token.block)]));
        break;
      case "break":
        frames.add(node("br"));
        break;
      default:
        frames.add(token.text);
    }
  }
  return frames.end();
}

/** Pictures are links to them: the page asks no other host for anything. */
function linked(all, index, inLink) {
  const { href, image, end } = all[index];
  const inner = image ? plain(all, index + 1, end) : nodes(all, index + 1, end, true);
  if (inLink) return inner[0] ?? "";
  return link(href, inner.length > 0 ? inner : [href]);
}

function plain(all, from, to) {
  const texts = [];
  for (const token of all.slice(from, to)) add(texts, token.type === "run" ? token.char.repeat(token.length) : (token.text ?? ""));
  return texts;
}

const link = (href, children) => node("a", { href, target: "_blank", rel: "noopener noreferrer" }, children);

/** Runs of `*`, `_` and `~~` that are open, each with what came since. */
class Frames {
  constructor() {
    this.stack = [{ children: [] }];
  }

  add(child) {
    add(this.stack.at(-1).children, child);
  }

  run(token) {
    const left = token.closes ? this.close(token) : token.length;
    if (left === 0) return;
    if (token.opens && this.stack.length <= MOST_OPEN) this.stack.push({ ...token, left, children: [] });
    else this.add(token.char.repeat(left));
  }

  /** Closes what this run can close; the length that is left of it. */
  close(token) {
    let { length } = token;
    while (length > 0) {
      const index = this.stack.findLastIndex((frame) => pairs(frame, token));
      if (index < 0) break;
      while (this.stack.length > index + 1) this.dissolve();
      const frame = this.stack.pop();
      const used = Math.min(2, frame.left, length);
      const closed = node(TAGS[`${token.char}${used}`], {}, frame.children);
      frame.left -= used;
      length -= used;
      if (frame.left > 0) this.stack.push({ ...frame, children: [closed] });
      else this.add(closed);
    }
    return length;
  }

  /** The last run closes nothing: it is text. */
  dissolve() {
    const { char, left, children } = this.stack.pop();
    this.add(char.repeat(left));
    for (const child of children) this.add(child);
  }

  end() {
    while (this.stack.length > 1) this.dissolve();
    return this.stack[0].children;
  }
}

/** Whether a run closes an open one, by CommonMark's rule of three. */
function pairs(open, close) {
  if (open.char !== close.char) return false;
  const both = (open.opens && open.closes) || (close.opens && close.closes);
  const third = (open.length + close.length) % 3 === 0 && (open.length % 3 !== 0 || close.length % 3 !== 0);
  return !(both && third);
}
