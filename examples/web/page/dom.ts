/** Finding and making elements. Text goes in as text, never as markup. */

/** The element with this id, of this kind. */
export function byId<T extends HTMLElement>(id: string, kind: new () => T): T {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`the page has no ${kind.name} with the id ${id}`);
  return found;
}

/** A new element with a class and what is in it. */
export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  className = "",
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

/** A new button that does something. */
export function button(className: string, text: string, onClick: () => void): HTMLButtonElement {
  const made = element("button", className, text);
  made.type = "button";
  made.addEventListener("click", onClick);
  return made;
}

/** Fills a `<dl>` with names and values. */
export function describe(list: HTMLElement, pairs: [name: string, value: string][]): void {
  const rows = pairs.map(([name, value]) => element("div", "", element("dt", "", name), element("dd", "", value)));
  list.replaceChildren(...rows);
}
