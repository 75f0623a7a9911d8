/**
 * How the page looks, photographed, and whether everybody can use it: axe finds nothing serious in any view, in either
 * theme.
 */

import assert from "node:assert/strict";
import fs from "node:fs";
import { createRequire } from "node:module";
import { open, outputFile, row, testPage, waitForState } from "./browser.js";

const axe = fs.readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
const SMALL = { width: 390, height: 800 };

/** Photographs the page and looks for obstacles. */
async function examine(page, view, theme) {
  const name = `${view}-${theme}`;
  // What fades in is examined as it stays.
  await page.evaluate(() => Promise.all(document.getAnimations().map((animation) => animation.finished.catch(() => {}))));
  await page.screenshot({ path: outputFile(`${name}.png`) });
  await page.evaluate(axe);
  const { violations } = await page.evaluate((tags) => window.axe.run(document, { runOnly: tags }), RULES);
  const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
  const told = serious.map(({ id, help, nodes }) => `${id}: ${help}\n${nodes.map(({ html, failureSummary }) => `  ${html}\n  ${failureSummary}`).join("\n")}`);
  assert.deepEqual(told, [], `${name} has obstacles`);
}

for (const theme of ["light", "dark"]) {
  const options = { colorScheme: theme, viewport: { width: 1200, height: 680 } };

  testPage(`the processes, ${theme}`, options, async (page) => {
    await open(page);
    await waitForState(page, "web", "RUNNING");
    await waitForState(page, "missing", "FATAL");
    await examine(page, "processes", theme);
    await row(page, "web").getByRole("checkbox").check();
    await row(page, "worker:worker_00").getByRole("checkbox").check();
    await row(page, "missing").getByRole("button", { name: "Start" }).click();
    await page.locator(".notice.failure").waitFor();
    await row(page, "web").getByRole("button", { name: "More" }).click();
    await examine(page, "selection-menu-notice", theme);
    await page.keyboard.press("Escape");
    await page.getByLabel("Filter processes").fill("nothing is called this");
    await page.locator("#no-rows").waitFor();
    await examine(page, "nothing-found", theme);
  });

  testPage(`one process, ${theme}`, options, async (page) => {
    await open(page, "#/process/web");
    await page.locator("#details .facts dd").first().waitFor();
    await examine(page, "details", theme);
  });

  testPage(`questions, ${theme}`, options, async (page) => {
    await open(page);
    await waitForState(page, "web", "RUNNING");
    await page.locator("#acting").getByRole("button", { name: "Stop" }).click();
    await examine(page, "question", theme);
    await page.keyboard.press("Escape");
    await page.locator("#acting").getByRole("button", { name: "Signal" }).click();
    await examine(page, "signal", theme);
    await page.keyboard.press("Escape");
    await page.keyboard.press("?");
    await page.getByRole("dialog").waitFor();
    await examine(page, "keys", theme);
  });

  testPage(`logs, ${theme}`, options, async (page) => {
    await open(page, `#/log/${encodeURIComponent('<script>alert(1)<b>&lt;"')}/stdout`);
    await page.locator("#log .line", { hasText: "the last line" }).waitFor();
    await page.getByLabel("Search the log").fill("bold");
    await page.keyboard.press("Enter");
    await examine(page, "log", theme);
    await page.goto("#/activity");
    await page.locator("#log .line", { hasText: "spawned" }).first().waitFor();
    await examine(page, "activity", theme);
    await page.goto("#/log/missing/stdout");
    await page.locator("#log-empty").waitFor();
    await examine(page, "empty-log", theme);
  });

  testPage(`the configuration, ${theme}`, options, async (page) => {
    await open(page, "#/config");
    await page.locator(".setting").first().waitFor();
    await page.locator("#reread-result p, #reread-result li").first().waitFor();
    await examine(page, "config", theme);
  });

  testPage(`on a telephone, ${theme}`, { ...options, viewport: SMALL }, async (page) => {
    await open(page);
    await waitForState(page, "web", "RUNNING");
    await examine(page, "small-processes", theme);
    for (const view of ["#/process/web", "#/log/web/stdout", "#/config"]) {
      await page.goto(view);
      await page.locator("#main").waitFor();
      await examine(page, `small-${view.replace(/\W+/g, "-")}`, theme);
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(overflow <= 0, `${view} is ${overflow} pixels too wide`);
    }
  });
}
