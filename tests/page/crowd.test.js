/** More processes than a picture has room for. */

import assert from "node:assert/strict";
import { open, outputFile, testPage, until } from "./browser.js";

testPage("a picture of too many is not drawn, and that is said", {}, async (page) => {
  await open(page, "#/dependencies");
  await page.locator("#graph-empty", { hasText: "There are 122 processes here; a picture of more than 100 would show nothing. Choose one" }).waitFor();
  assert.equal(await page.locator(".graph").count(), 0);
  assert.equal(await page.locator("#graph-names a").count(), 122);
  await page.screenshot({ path: outputFile("crowd.png") });
  await page.getByRole("link", { name: "many:many_007" }).click();
  await until("its part is drawn", async () => (await page.locator(".graph .node").count()) === 2);
});

testPage("a picture of a hundred is drawn", {}, async (page) => {
  await open(page, "#/dependencies/hub");
  await until("all hundred are there", async () => (await page.locator(".graph .node").count()) === 100);
  const boxes = await page.locator(".graph .node").evaluateAll((nodes) => nodes.map((node) => node.getAttribute("transform")));
  assert.equal(new Set(boxes).size, 100, "each has a place of its own");
  assert.equal(await page.locator(".graph .line").count(), 99);
  await page.screenshot({ path: outputFile("hundred.png") });
});
