/** What the tests of the page share. tests/page.rs starts a daemon for each of their files. */

import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, test } from "node:test";
import { address, inDirectory, launch, setting } from "./launch.js";

/** How long to wait for something to happen, in milliseconds: machines that run tests may be very busy. */
export const PATIENCE = 30_000;

export { address, inDirectory };

/** A file for people to look at. */
export function outputFile(name) {
  fs.mkdirSync(setting("PAGE_OUTPUT"), { recursive: true });
  return path.join(setting("PAGE_OUTPUT"), name);
}

let browser = null;
after(() => browser?.close());

/** The browser; started when it is first needed. */
export async function theBrowser() {
  browser ??= await launch();
  return browser;
}

/**
 * A test with a page of its own. It fails when the page throws, logs an error, or tries what its security policy
 * forbids.
 *
 * @param {string} name
 * @param {{colorScheme?: string, viewport?: {width: number, height: number}, expected?: RegExp}} options  `expected`:
 *   errors that belong to the test
 * @param {(page: import("playwright-core").Page) => Promise<void>} body
 */
export function testPage(name, { expected, ...options }, body) {
  test(name, { timeout: 4 * PATIENCE }, async () => {
    const context = await (await theBrowser()).newContext({ baseURL: address, viewport: { width: 1360, height: 820 }, ...options });
    context.setDefaultTimeout(PATIENCE);
    const page = await context.newPage();
    const errors = [];
    page.on("pageerror", (error) => errors.push(`thrown: ${error.stack}`));
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") errors.push(message.text());
    });
    try {
      await body(page);
    } catch (error) {
      await page.screenshot({ path: outputFile(`failed-${name.replace(/\W+/g, "-")}.png`) }).catch(() => {});
      throw errors.length === 0 ? error : new Error(`${error.message}\nthe page said:\n${errors.join("\n")}`, { cause: error });
    } finally {
      await context.close();
    }
    assert.deepEqual(errors.filter((error) => !expected?.test(error)), [], "the page has errors");
  });
}

/** Opens a view and waits until the daemon's first answer is shown. */
export async function open(page, view = "") {
  await page.goto(`${address}${view}`);
  await page.locator("#connection.is-live").waitFor();
}

/** Asks the daemon for a change, as a page of its own would. */
export async function ask(path) {
  const { token } = await (await fetch(`${address}api/v1/session`)).json();
  const response = await fetch(`${address}api/v1/${path}`, { method: "POST", headers: { "X-Supervisord-Token": token } });
  assert.equal(response.status, 200, await response.text());
}

/** The row of a process. */
export const row = (page, namespec) => page.locator(`tr.process[data-namespec="${CSS.escape(namespec)}"]`);

/** Waits until a process is in a state, as the page says. */
export async function waitForState(page, namespec, state) {
  await row(page, namespec).locator(".state", { hasText: new RegExp(`^${state}$`) }).waitFor();
}

/** Waits until `look` gives something true. */
export async function until(what, look) {
  const deadline = Date.now() + PATIENCE;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`waited in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** As in browsers, as far as the names in these tests need it. */
const CSS = { escape: (text) => text.replace(/["\\]/g, "\\$&") };
