/** What Markdown is read into: texts, and elements as plain data, which `patch.js` shows. */

/** An element to be shown; `attributes` and `children` are in the order of the page. */
export function node(tag, attributes = {}, children = []) {
  return { tag, attributes, children };
}

/** Appends a text or an element; texts that follow each other are one. */
export function add(children, child) {
  if (child === "") return;
  const last = children.length - 1;
  if (typeof child === "string" && typeof children[last] === "string") children[last] += child;
  else children.push(child);
}

/** Whether a link may lead there: to a site, not to a script. */
export const isSafe = (address) => /^https?:\/\/[^\s\p{Cc}]+$/iu.test(address);
