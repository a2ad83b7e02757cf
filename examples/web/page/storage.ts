/** What the page remembers; in another site's frame a browser may refuse, and then nothing is remembered. */

export function recall(name: string): string | null {
  try {
    return localStorage.getItem(`tiefsee.${name}`);
  } catch {
    return null;
  }
}

export function remember(name: string, value: string): void {
  try {
    localStorage.setItem(`tiefsee.${name}`, value);
  } catch {
    // Then it lasts as long as the page does.
  }
}
