/** Finding and making elements. Text goes in as text, never as markup. */

/** The element with this id. */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no ${id}`);
  return found;
}

/** A new element with a class and what is in it. */
export function element(tag, className = "", ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

/** A new button that does something; `label` is its name where the text does not say it. */
export function button(className, text, onClick, label) {
  const made = element("button", className, text);
  made.type = "button";
  if (label) made.setAttribute("aria-label", label);
  if (label) made.title = label;
  made.addEventListener("click", onClick);
  return made;
}

/** Says something below the conversation, until the next sentence. */
export function say(sentence) {
  byId("status").textContent = sentence;
}

/** Tells those who listen what those who look see anyway. */
export function announce(text) {
  byId("announcer").textContent = text;
}

/** Puts a text on the clipboard; whether that was possible. */
export async function copy(text) {
  try {
    // Only there where the page came over https or from this machine.
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const box = element("textarea", "unseen", text);
    document.body.append(box);
    box.select();
    const copied = document.execCommand("copy");
    box.remove();
    return copied;
  }
}
