/** Tables of Markdown. */

import { inline } from "./inline.js";
import { node } from "./node.js";

/** More columns than these are not shown. */
const MOST_COLUMNS = 64;

/** Whether a line and the next begin a table. */
export function isDelimiter(head, line) {
  if (!line.includes("-") || !line.includes("|") || !head.includes("|") || /^ {4}/.test(line)) return false;
  const marks = cells(line);
  return marks.every((mark) => /^:?-+:?$/.test(mark)) && marks.length === cells(head).length;
}

/** The table of these lines. */
export function table(head, delimiter, rows) {
  const sides = cells(delimiter).slice(0, MOST_COLUMNS).map(side);
  const row = (line, tag, more) => {
    const texts = cells(line);
    return node("tr", {}, sides.map((side, column) => node(tag, { ...more, ...side }, inline(texts[column] ?? ""))));
  };
  const body = node("tbody", {}, rows.map((line) => row(line, "td", {})));
  const shown = node("table", {}, [node("thead", {}, [row(head, "th", { scope: "col" })]), body]);
  return node("div", { class: "table-box", tabindex: "0" }, [shown]);
}

/** The texts between the bars; a bar after a backslash is one of the text. */
function cells(line) {
  const texts = line.trim().replace(/^\|/, "").split("|");
  const found = [];
  let open = false;
  for (const text of texts) {
    if (open) found[found.length - 1] += `|${text}`;
    else found.push(text);
    open = /(?:^|[^\\])(?:\\\\)*\\$/.test(text);
    if (open) found[found.length - 1] = found.at(-1).slice(0, -1);
  }
  if (found.length > 1 && found.at(-1).trim() === "") found.pop();
  return found.map((text) => text.trim());
}

function side(mark) {
  const [left, right] = [mark.startsWith(":"), mark.endsWith(":")];
  if (right) return { class: left ? "center" : "right" };
  return {};
}
