/** Nodes to the page: only what has changed is touched, so a selection and the focus stay. Nothing here reads HTML. */

import { isSafe } from "./node.js";

const TAGS = new Set(
  "p h3 h4 h5 h6 hr br blockquote ul ol li div span pre code button table thead tbody tr th td a em strong del".split(" "),
);
const MATHML = "http://www.w3.org/1998/Math/MathML";
const MATH_TAGS = new Set(
  "math mrow mi mn mo mtext mspace mfrac msqrt mroot msub msup msubsup munder mover munderover mtable mtr mtd".split(" "),
);
const ATTRIBUTES = new Set("class type tabindex start scope href target rel display stretchy accent linethickness width".split(" "));

/** What an element was last made of. */
const shown = new WeakMap();

/** Makes an element's children those that the nodes say. Nobody else may change them. */
export function patch(parent, nodes) {
  const before = shown.get(parent) ?? [];
  for (const [index, now] of nodes.entries()) {
    if (before[index] === now) continue;
    const child = parent.childNodes[index];
    if (index >= before.length) parent.append(make(now));
    else if (!change(child, before[index], now)) child.replaceWith(make(now));
  }
  while (parent.childNodes.length > nodes.length) parent.lastChild.remove();
  shown.set(parent, nodes);
}

/** Makes a child another; false if it is of another kind. */
function change(child, before, now) {
  if (typeof before === "string" || typeof now === "string") {
    if (typeof before !== typeof now) return false;
    if (now.startsWith(before)) child.appendData(now.slice(before.length));
    else child.data = now;
    return true;
  }
  if (before.tag !== now.tag || JSON.stringify(before.attributes) !== JSON.stringify(now.attributes)) return false;
  patch(child, now.children);
  return true;
}

function make(now) {
  if (typeof now === "string") return document.createTextNode(now);
  const isMath = MATH_TAGS.has(now.tag);
  if (!isMath && !TAGS.has(now.tag)) throw new Error(`an answer has no element ${now.tag}`);
  const made = isMath ? document.createElementNS(MATHML, now.tag) : document.createElement(now.tag);
  for (const [name, value] of Object.entries(now.attributes)) {
    if (!ATTRIBUTES.has(name) || (name === "href" && !isSafe(value))) throw new Error(`an answer has no ${name} ${value}`);
    made.setAttribute(name, value);
  }
  patch(made, now.children);
  return made;
}
