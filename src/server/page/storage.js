/** Small things that the page remembers; where a browser refuses, they last as long as the page does. */

/** What was remembered under this name, in this browser or, with `tab`, only in this tab; or null. */
export function recall(name, tab = false) {
  try {
    return (tab ? sessionStorage : localStorage).getItem(`tiefsee.${name}`);
  } catch {
    return null;
  }
}

/** Remembers a text; null forgets it. */
export function remember(name, value, tab = false) {
  try {
    const storage = tab ? sessionStorage : localStorage;
    if (value === null) storage.removeItem(`tiefsee.${name}`);
    else storage.setItem(`tiefsee.${name}`, value);
  } catch {
    // Then nothing is.
  }
}
