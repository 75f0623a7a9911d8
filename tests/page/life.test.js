/** What processes wait for, how they are, and the picture of who depends on whom. */

import assert from "node:assert/strict";
import fs from "node:fs";
import { createRequire } from "node:module";
import { address, ask, inDirectory, open, outputFile, row, testPage, until, waitForState } from "./browser.js";

const axe = fs.readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

/** Photographs the page and looks for obstacles. */
async function examine(page, name) {
  await page.evaluate(() => Promise.all(document.getAnimations().map((animation) => animation.finished.catch(() => {}))));
  await page.screenshot({ path: outputFile(`${name}.png`) });
  await page.evaluate(axe);
  const { violations } = await page.evaluate((tags) => window.axe.run(document, { runOnly: tags }), RULES);
  const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
  assert.deepEqual(serious.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`), [], `${name} has obstacles`);
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(overflow <= 0, `${name} is ${overflow} pixels too wide`);
}

const touch = (name) => fs.writeFileSync(inDirectory(name), "");
const node = (page, name) => page.locator(`.graph [data-namespec="${name}"]`);
const line = (page, kind) => page.locator(`.graph .line-${kind}`);
const remark = (page, name) => row(page, name).locator(".cell-exit");

testPage("layers stand from left to right, and lines go around what is in between", {}, async (page) => {
  await page.goto(address);
  const use = ({ layOut, BOX }) => {
    const need = (...names) => ({ text: "", names, verdict: "met", isSoft: false });
    const make = (namespec, ...needs) => ({ namespec, state: "RUNNING", needs });
    const inLayers = (nodes) => {
      const { boxes, lines, width, height } = layOut(nodes);
      const columns = [...new Set([...boxes.values()].map(({ x }) => x))].sort((one, other) => one - other);
      const places = [...boxes].map(([name, { x, y }]) => ({ name, layer: columns.indexOf(x), x, y }));
      const apart = places.every((one) => places.every((other) => one === other || one.x !== other.x || Math.abs(one.y - other.y) >= BOX.height));
      const isInside = places.every(({ x, y }) => x >= 0 && y >= 0 && x + BOX.width <= width && y + BOX.height <= height);
      return [places.map(({ name, layer }) => `${name}${layer}`).sort().join(" "), lines.length, apart && isInside];
    };
    const crowd = Array.from({ length: 100 }, (_, index) => make(`p${index}`, need(`p${index - 10}`, `p${index - 11}`, "p0")));
    const [, edges, isGood] = inLayers(crowd);
    return [
      inLayers([]),
      inLayers([make("web", need("db"), need("db", "cache")), make("db"), make("cache"), make("mail", need("web"), need("db"))]),
      // What only a mistake could make ends all the same.
      inLayers([make("a", need("b")), make("b", need("a")), make("c", need("c", "gone"))])[1],
      [edges, isGood],
    ];
  };
  const found = await page.evaluate(`import("${address}page/graph.js").then((module) => (${use})(module))`);
  assert.deepEqual(found[0], ["", 0, true]);
  assert.deepEqual(found[1], ["cache0 db0 mail2 web1", 4, true]);
  assert.equal(found[2], 2);
  // 90 with a need ten places before them, 89 with one eleven before, and all that do not say so anyway need the first.
  assert.deepEqual(found[3], [90 + 89 + 99 - 2, true]);
});

testPage("a wait is shown where people look, and what it is for", { viewport: { width: 1360, height: 900 } }, async (page) => {
  await open(page);
  await remark(page, "web").filter({ hasText: /^waiting for db/ }).waitFor();
  await remark(page, "db").filter({ hasText: /^not ready: / }).waitFor();
  await waitForState(page, "web", "STARTING");
  await row(page, "web").getByRole("link", { name: "web" }).click();
  const details = page.locator("#details");
  await details.locator(".details-why", { hasText: "waiting for db" }).waitFor();
  assert.deepEqual(await details.locator(".need code").allTextContents(), ["db:healthy", "migrate:done", "mail?"]);
  assert.deepEqual(await details.locator(".verdict").allTextContents(), ["does not hold yet", "does not hold yet", "does not hold yet"]);
  await details.locator(".needed", { hasText: "db" }).locator(".state", { hasText: "STARTING" }).waitFor();
  await details.locator(".needed .hint", { hasText: "it is stopped if it is not ready in" }).first().waitFor();
  // The one that is needed says by whom.
  await page.goto("#/process/db");
  await details.locator("h3", { hasText: "Needed by" }).waitFor();
  assert.deepEqual(await details.locator(".needed a:visible").allTextContents(), ["migrate", "web"]);
  assert.equal(await details.getByRole("button", { name: "Start without dependencies" }).isVisible(), false);
});

for (const theme of ["light", "dark"]) {
  for (const [size, viewport] of [["wide", { width: 1300, height: 760 }], ["narrow", { width: 390, height: 800 }]]) {
    testPage(`a wait can be read, ${theme}, ${size}`, { colorScheme: theme, viewport }, async (page) => {
      await open(page);
      await remark(page, "web").filter({ hasText: /^waiting for db/ }).waitFor();
      await examine(page, `waits-${size}-${theme}`);
      await page.goto("#/process/web");
      await page.locator("#details .needed .state").first().waitFor();
      await examine(page, `needs-${size}-${theme}`);
      await page.goto("#/dependencies");
      await node(page, "web").filter({ hasText: "STARTING · waiting" }).waitFor();
      await examine(page, `graph-waits-${size}-${theme}`);
    });
  }
}

testPage("a process is started without what it depends on, where that makes a difference", {}, async (page) => {
  await open(page, "#/process/web");
  const button = page.locator("#details").getByRole("button", { name: "Start without dependencies" });
  await button.click();
  await waitForState(page, "web", "RUNNING");
  await page.locator(".notice.success", { hasText: "web: started" }).waitFor();
  await until("it makes no difference any more", async () => !(await button.isVisible()));
  // The others wait as before.
  await remark(page, "migrate").filter({ hasText: /^waiting for db/ }).waitFor();
  await row(page, "web").getByRole("button", { name: "More" }).click();
  assert.equal(await page.getByRole("menuitem", { name: "Start without dependencies" }).count(), 0);
  await page.keyboard.press("Escape");
  await ask("processes/web/stop");
  await waitForState(page, "web", "STOPPED");
  await row(page, "web").getByRole("button", { name: "More" }).click();
  await page.getByRole("menuitem", { name: "Start without dependencies" }).waitFor();
  await page.keyboard.press("Escape");
  await row(page, "web").getByRole("button", { name: "Start" }).click();
  await remark(page, "web").filter({ hasText: /^waiting for db/ }).waitFor();
});

testPage("the picture follows what happens, and leads to each process", {}, async (page) => {
  await open(page);
  await page.getByRole("link", { name: "Dependencies" }).click();
  await node(page, "web").filter({ hasText: "STARTING · waiting" }).waitFor();
  assert.equal(await page.locator(".graph .node").count(), 4, "who has nothing to do with it is not in it");
  assert.equal(await page.locator(".graph .line").count(), 4);
  assert.equal(await line(page, "unmet").count(), 4);
  touch("ready");
  await node(page, "db").filter({ hasText: "RUNNING" }).waitFor();
  touch("well");
  await node(page, "db").filter({ hasText: "RUNNING · healthy" }).waitFor();
  touch("migrated");
  await node(page, "migrate").filter({ hasText: "EXITED" }).waitFor();
  await until("all but the soft one hold", async () => (await line(page, "met").count()) >= 3);
  await ask("processes/mail/stop");
  await node(page, "web").filter({ hasText: "RUNNING" }).waitFor();
  await until("every line holds", async () => (await line(page, "met").count()) === 4);
  await page.getByRole("link", { name: "db RUNNING · healthy", exact: true }).waitFor();
  // From the keyboard: Enter on a process leads to it, and a button there back to the part around it.
  await node(page, "migrate").focus();
  await page.keyboard.press("Enter");
  await page.locator("#details-title", { hasText: "migrate" }).waitFor();
  await page.getByRole("link", { name: "Show as a picture" }).click();
  await page.locator("#graph-name", { hasText: "Dependencies of migrate" }).waitFor();
  await page.locator('.graph [data-namespec="migrate"].is-meant').waitFor();
  assert.equal(await page.locator(".graph .node").count(), 3);
  await page.getByRole("link", { name: "Show all" }).click();
  await until("all are there", async () => (await page.locator(".graph .node").count()) === 4);
});

testPage("health is shown and followed, though the state stays", {}, async (page) => {
  await open(page);
  await row(page, "db").getByRole("img", { name: "healthy", exact: true }).waitFor();
  fs.rmSync(inDirectory("well"));
  await row(page, "db").getByRole("img", { name: "unhealthy" }).waitFor();
  await waitForState(page, "db", "RUNNING");
  await remark(page, "db").filter({ hasText: /^unhealthy: / }).waitFor();
  await until("the title counts it", async () => /^\([1-9]\)/.test(await page.title()));
  await page.goto("#/process/db");
  await page.locator("#details .facts dd", { hasText: /^unhealthy \(\d+ failed in a row\)$/ }).waitFor();
  await page.goto("#/dependencies");
  await node(page, "db").filter({ hasText: "RUNNING · unhealthy" }).waitFor();
  assert.match(await node(page, "db").getAttribute("class"), /\btone-bad\b/);
  for (const theme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme: theme });
    await examine(page, `graph-unhealthy-${theme}`);
    await page.goto("#/process/db");
    await examine(page, `unhealthy-${theme}`);
    await page.goto("#/dependencies");
  }
  touch("well");
  await node(page, "db").filter({ hasText: "RUNNING · healthy" }).waitFor();
});

testPage("what depends on a process is stopped with it, after a question", {}, async (page) => {
  await open(page);
  await waitForState(page, "web", "RUNNING");
  await row(page, "db").getByRole("button", { name: "More" }).click();
  await page.getByRole("menuitem", { name: "Stop with dependents…" }).click();
  await page.getByRole("dialog").filter({ hasText: "Stop db and all that depends on it?" }).getByRole("button", { name: "Stop", exact: true }).click();
  await waitForState(page, "db", "STOPPED");
  await waitForState(page, "web", "STOPPED");
});
