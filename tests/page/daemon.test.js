/** What the page says when the daemon is not there, and that it finds back by itself. */

import assert from "node:assert/strict";
import { address, ask, open, row, testPage, until, waitForState } from "./browser.js";

/** What browsers log about connections that break. */
const expected = /net::ERR_|Failed to load resource/;

const daemon = async () => (await fetch(`${address}api/v1/daemon`)).json();

testPage("the manager is killed, and the page goes on", { expected }, async (page) => {
  await open(page);
  await waitForState(page, "web", "RUNNING");
  await page.evaluate(() => { window.isTheSamePage = true; });
  const pid = await row(page, "web").locator(".cell-pid").textContent();
  const before = await daemon();
  process.kill(before.manager_pid, "SIGKILL");
  await until("another manager answers", async () => {
    const now = await daemon().catch(() => before);
    return now.manager_pid !== before.manager_pid;
  });
  await page.locator("#connection.is-live").waitFor();
  await row(page, "web").getByRole("button", { name: "Restart" }).click();
  await until("it has another pid", async () => !["", pid].includes(await row(page, "web").locator(".cell-pid").textContent()));
  assert.ok(await page.evaluate(() => window.isTheSamePage));
});

testPage("a page in the background gives its connection back", {}, async (page) => {
  await page.clock.install();
  await open(page);
  await waitForState(page, "web", "RUNNING");
  const show = (isHidden) => page.evaluate((value) => {
    Object.defineProperty(document, "hidden", { value, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  }, isHidden);
  const closed = page.waitForEvent("requestfailed", (request) => request.url().endsWith("/events"));
  await show(true);
  await page.clock.fastForward(11_000);
  await closed;
  await ask("processes/web/stop");
  assert.equal(await row(page, "web").locator(".state").textContent(), "RUNNING", "nobody told it");
  await show(false);
  await waitForState(page, "web", "STOPPED");
  await ask("processes/web/start");
  await waitForState(page, "web", "RUNNING");
});

testPage("a restart is waited for, and an end is said plainly", { expected }, async (page) => {
  await open(page);
  await waitForState(page, "web", "RUNNING");
  const before = await row(page, "web").locator(".cell-pid").textContent();
  await ask("daemon/restart");
  await until("the restarted daemon has started it anew", async () => !["", before].includes(await row(page, "web").locator(".cell-pid").textContent()));
  await page.locator("#connection.is-live").waitFor();

  await ask("daemon/shutdown");
  await page.locator("#banner", { hasText: "The daemon has stopped" }).waitFor();
  await page.locator("#connection.is-stopped", { hasText: "Stopped" }).waitFor();
  assert.match(await page.title(), /^\(!\)/);
  assert.equal(await row(page, "web").count(), 1, "what was known last stays");
  await row(page, "missing").getByRole("button", { name: "Start" }).click();
  await page.locator(".notice.failure", { hasText: "the daemon cannot be reached" }).waitFor();
});
