/** What the page must not let happen. */

import assert from "node:assert/strict";
import fs from "node:fs";
import http from "node:http";
import { test } from "node:test";
import { address, inDirectory, open, row, testPage, theBrowser, until, waitForState, PATIENCE } from "./browser.js";

const EVIL = '<script>alert(1)<b>&lt;"';

testPage("names and log lines full of markup are text", {}, async (page) => {
  page.on("dialog", (dialog) => assert.fail(`a script ran: ${dialog.message()}`));
  await open(page);
  await waitForState(page, EVIL, "RUNNING");
  assert.equal(await row(page, EVIL).getByRole("link").textContent(), EVIL);
  await row(page, EVIL).getByRole("link").click();
  assert.equal(await page.locator("#details h2").textContent(), EVIL);
  await row(page, EVIL).getByRole("button", { name: "Restart" }).click();
  await page.locator(".notice", { hasText: EVIL }).waitFor();

  await page.locator("#details").getByRole("link", { name: "stdout" }).click();
  const lines = page.locator("#log .line:not(.remark)");
  await lines.filter({ hasText: "the last line" }).first().waitFor();
  const texts = await lines.evaluateAll((elements) => elements.map((element) => element.textContent));
  assert.ok(texts.includes("<script>alert(2)</script><b>bold</b> &amp;"), texts.join("\n"));
  assert.ok(texts.includes("nul \\0 bell \\x07 no UTF-8 \ufffd\ufffd turned U+202E end"), texts.join("\n"));
  assert.equal(await page.locator("#log b, #log script, #log img").count(), 0);
  const own = page.locator("#log .ink-own", { hasText: "own colour" }).first();
  assert.equal(await own.evaluate((element) => element.style.getPropertyValue("--ink")), "rgb(120 80 255)");

  await page.goto("#/config");
  await page.locator("#settings h3", { hasText: EVIL }).waitFor();
  await page.goto("#/activity");
  await page.locator("#log .line", { hasText: EVIL }).first().waitFor();
  assert.equal(await page.locator("main script, main b").count(), 0);
});

/** Serves one document under another name than the daemon's. */
async function foreignPage(html) {
  const server = http.createServer((_, response) => {
    response.writeHead(200, { "Content-Type": "text/html" });
    response.end(html);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { server, address: `http://localhost:${server.address().port}/` };
}

for (const [name, encoding] of [["a form", "application/x-www-form-urlencoded"], ["a text form", "text/plain"]]) {
  test(`${name} of a foreign page stops nothing`, { timeout: 4 * PATIENCE }, async () => {
    const { server, address: foreign } = await foreignPage(
      `<form method="post" action="${address}api/v1/processes/web/stop" enctype="${encoding}"><input name="{}" value=""></form>`,
    );
    const context = await (await theBrowser()).newContext();
    try {
      const page = await context.newPage();
      await page.goto(foreign);
      const answer = page.waitForResponse((response) => response.url().startsWith(address));
      await page.evaluate(() => document.querySelector("form").submit());
      assert.equal((await answer).status(), 403);
      const mine = await context.newPage();
      await open(mine);
      await waitForState(mine, "web", "RUNNING");
    } finally {
      await context.close();
      server.close();
    }
  });
}

testPage("a foreign page can neither read nor send, nor show ours in a frame", { expected: /.*/ }, async (page) => {
  const { server, address: foreign } = await foreignPage("<p>foreign</p>");
  try {
    await page.goto(foreign);
    const outcomes = await page.evaluate(async (daemon) => {
      const attempt = async (path, options) => {
        try {
          const response = await fetch(`${daemon}api/v1/${path}`, options);
          return `read: ${await response.text()}`;
        } catch {
          return "refused";
        }
      };
      return [
        await attempt("session"),
        await attempt("processes"),
        await attempt("processes/web/stop", { method: "POST", headers: { "Content-Type": "application/json" }, body: "{}" }),
        await attempt("processes/web/stop", { method: "POST", headers: { "X-Supervisord-Token": "guess" }, body: "{}" }),
      ];
    }, address);
    assert.deepEqual(outcomes, ["refused", "refused", "refused", "refused"]);
    await page.evaluate((daemon) => {
      const frame = document.createElement("iframe");
      frame.src = daemon;
      document.body.append(frame);
      return new Promise((resolve) => frame.addEventListener("load", resolve));
    }, address);
    const frame = page.frames().find((candidate) => candidate !== page.mainFrame());
    assert.equal(await frame.locator("#top").count().catch(() => 0), 0);
  } finally {
    server.close();
  }
});

test("without the token of the page a browser changes nothing", { timeout: 4 * PATIENCE }, async () => {
  const response = await fetch(`${address}api/v1/processes/web/stop`, {
    method: "POST",
    headers: { "Content-Type": "application/json", Origin: new URL(address).origin, "Sec-Fetch-Site": "same-origin", "User-Agent": "Mozilla/5.0" },
    body: "{}",
  });
  assert.equal(response.status, 403);
});

testPage("a log without end is shown in bounds", {}, async (page) => {
  const many = `${Array.from({ length: 30_000 }, (_, index) => `line ${index}`).join("\n")}\n`;
  fs.appendFileSync(inDirectory("said"), many);
  fs.appendFileSync(inDirectory("said"), `${"x".repeat(20_000)}\n`);
  await until("all of it is logged", async () => {
    const response = await fetch(`${address}api/v1/processes/speaker/logs/stdout?offset=0&length=0`);
    return Number(response.headers.get("x-log-size")) > many.length + 20_000;
  });
  await open(page, "#/log/speaker/stdout");
  await page.locator("#log .line.is-cut").first().waitFor();
  await page.locator("#log-earlier").click();
  await until("earlier lines are there", async () => (await page.locator("#log .line").count()) > 5000);
  assert.ok((await page.locator("#log .line").count()) <= 10_000);
});
