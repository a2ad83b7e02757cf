// Visits to a page in fresh profiles, of which none may end with a complaint in the console or a request to anybody else.

import assert from "node:assert/strict";

/** Milliseconds that a page has for what is waited for. */
export const WAIT = 30_000;

export class Visits {
  #seen = [];

  /**
   * Opens a page of the server `home` in a fresh profile of the browser `by`.
   *
   * - `hosts`: whom else it may ask; `expected`: which complaints of the console are not counted;
   * - `context`: a profile that is there already; other options are those of a new one.
   */
  async open({ home, by, address = "/", hosts = [], expected, context, ...options }) {
    const profile = context ?? (await by.newContext(options));
    profile.setDefaultTimeout(WAIT);
    const complaints = [];
    const foreign = [];
    const known = [home.url, ...hosts].map((url) => new URL(url).host);
    profile.on("request", (request) => {
      const url = new URL(request.url());
      if (/^https?:/.test(url.protocol) && !known.includes(url.host)) foreign.push(url.href);
    });
    const page = await profile.newPage();
    page.on("console", (message) => {
      const text = message.text();
      // The browser writes every failed request here, whoever expects it, and Playwright what it was told to block.
      const complains = ["error", "warning"].includes(message.type()) || text.includes("[DOM]");
      if (complains && !expected?.test(text) && !text.includes("blocked by Playwright")) complaints.push(text);
    });
    page.on("pageerror", (error) => complaints.push(error.message));
    this.#seen.push({ profile, complaints, foreign });
    await page.goto(`${home.url}${address}`);
    return page;
  }

  /** Closes all of them, and asserts that there was nothing to complain of. */
  async end() {
    const seen = this.#seen;
    this.#seen = [];
    for (const { profile } of seen) await profile.close();
    for (const { complaints, foreign } of seen) {
      assert.deepEqual(complaints, []);
      assert.deepEqual(foreign, []);
    }
  }
}

/** Asserts that nothing is wider than the window. */
export async function fits(page, what) {
  const [has, needs] = await page.evaluate(() => [innerWidth, document.documentElement.scrollWidth]);
  assert.ok(needs <= has, `${what}: ${needs} pixels wide, ${has} there`);
}
