/** The pictures of the documentation: a small shop in ordinary trouble. */

import path from "node:path";
import { open, row, testPage, waitForState } from "./browser.js";
import { setting } from "./launch.js";

const file = (name) => path.join(setting("PAGE_PICTURES"), `page-${name}.png`);
const viewport = { width: 1330, height: 640 };

testPage("processes", { colorScheme: "light", viewport }, async (page) => {
  await open(page);
  await waitForState(page, "search", "FATAL");
  await waitForState(page, "web:web_02", "RUNNING");
  await page.locator("tr.process .cell-cpu", { hasText: /^[1-9]/ }).first().waitFor();
  await page.screenshot({ path: file("processes") });
});

testPage("a log", { colorScheme: "dark", viewport: { ...viewport, width: 1100, height: 420 } }, async (page) => {
  await open(page, "#/log/web%3Aweb_01/stdout");
  await page.locator("#log .line").nth(24).waitFor();
  await page.getByLabel("Search the log").fill("cart");
  await page.screenshot({ path: file("log") });
});

testPage("small", { colorScheme: "dark", viewport: { width: 390, height: 640 } }, async (page) => {
  await open(page);
  await row(page, "web:web_02").waitFor();
  await page.locator("#states").getByRole("button", { name: /^Running/ }).click();
  await page.screenshot({ path: file("small") });
});
