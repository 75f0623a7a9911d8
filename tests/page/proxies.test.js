/** The page behind proxies; tests/page_proxies.rs starts them. */

import assert from "node:assert/strict";
import http from "node:http";
import { row, testPage, until, waitForState } from "./browser.js";
import { FOREIGN, NAME, setting } from "./launch.js";

/** @type {Array<{shape: string, daemon: string, scheme: string, port: number, path: string}>} */
const places = JSON.parse(setting("PAGE_PLACES"));

const addressOf = ({ scheme, port, path }, host) => `${scheme}://${host}:${port}${path}`;

/** What Chromium says about a header that it heeds with TLS and on this machine only. */
const UNHEEDED = /Cross-Origin-Opener-Policy/;

/** What a browser needs to get in. */
const options = (place) => ({
  expected: UNHEEDED,
  ignoreHTTPSErrors: true,
  ...(place.daemon === "locked" ? { httpCredentials: { username: "me", password: "secret" } } : {}),
});

for (const place of places) {
  // Who has no password and was told no name is found by addresses only, except where the browser vouches for the page.
  const host = place.daemon === "open" && place.shape !== "TLS" ? "127.0.0.1" : NAME;
  testPage(`${place.shape}, ${place.daemon}`, options(place), async (page) => {
    await page.goto(addressOf(place, host));
    await page.locator("#connection.is-live").waitFor();
    await waitForState(page, "web", "RUNNING");
    assert.equal(await page.locator("#not-loaded").count(), 0);

    // An action, of which the event stream tells.
    const pid = await row(page, "web").locator(".cell-pid").textContent();
    await row(page, "web").getByRole("button", { name: "Restart" }).click();
    await page.locator(".notice", { hasText: "web: restarted" }).waitFor();
    await until("it has another pid", async () => !["", pid].includes(await row(page, "web").locator(".cell-pid").textContent()));

    // A log that is followed, and the whole of it.
    await row(page, "web").getByRole("link").click();
    await page.locator("#details").getByRole("link", { name: "stdout" }).click();
    await page.locator("#log .line", { hasText: "web is ready" }).first().waitFor();
    await page.locator("#log-status", { hasText: "Following." }).waitFor();
    const download = page.waitForEvent("download");
    await page.locator("#log-download").click();
    assert.equal((await download).suggestedFilename(), "web-stdout.log");
    await page.getByRole("link", { name: "Configuration" }).click();
    await page.locator("#settings h3", { hasText: "program:web" }).waitFor();
  });

  // Only who has a password is asked for it, the token and the name at once.
  if (place.daemon !== "locked") continue;
  testPage(`older addresses: ${place.shape}, ${place.daemon}`, options(place), async (page) => {
    const base = addressOf(place, host).replace(/\/?$/, "/");
    await page.goto(`${base}index.html?processname=web&action=restart`);
    await page.getByRole("button", { name: "Yes" }).click();
    await page.getByText("Process web restarted").waitFor();
    await page.getByRole("link", { name: "Back" }).click();
    await page.locator("#connection.is-live").waitFor();

    // Shown although it never ends, and is short.
    await page.goto(`${base}logtail/web`, { waitUntil: "commit" });
    await page.getByText("web is ready").first().waitFor();
    await page.goto(`${base}mainlogtail`, { waitUntil: "commit" });
    await page.getByText("spawned: 'web'").first().waitFor();
  });
}

/** What a page can make a browser send anywhere without asking there first, and what it would like to read. */
async function attack(base) {
  const call = "<?xml version='1.0'?><methodCall><methodName>supervisor.stopAllProcesses</methodName></methodCall>";
  // The browser keeps some answers even from being ignored.
  const send = (path, type, body) =>
    fetch(`${base}${path}`, { method: "POST", mode: "no-cors", credentials: "include", headers: { "Content-Type": type }, body })
      .catch(() => {});
  await send("RPC2", "text/plain", call);
  await send("api/v1/processes/web/stop", "text/plain", "");
  await send("program/stop/web", "text/plain", "");
  await send("index.html", "application/x-www-form-urlencoded", "action=stopall&token=0");
  const read = (path, options) =>
    fetch(`${base}${path}`, options).then((response) => response.text(), () => "unreadable");
  const bearing = { method: "POST", headers: { "X-Supervisord-Token": "0", "X-Forwarded-Host": location.host } };
  return [await read("api/v1/session"), await read("index.html?action=stopall"), await read("api/v1/processes/web/stop", bearing)];
}

for (const place of places.filter(({ daemon, path }) => daemon !== "open" && path === "/")) {
  testPage(`a foreign page changes nothing: ${place.shape}, ${place.daemon}`, { ...options(place), expected: /.*/ }, async (page) => {
    const server = http.createServer((_, response) => response.end("<!doctype html>"));
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    try {
      await page.goto(addressOf(place, NAME));
      await waitForState(page, "web", "RUNNING");
      const pid = await row(page, "web").locator(".cell-pid").textContent();
      // Not over TLS, where the browser would say more of who asks.
      await page.goto(`http://${FOREIGN}:${server.address().port}/`);
      assert.deepEqual(await page.evaluate(attack, addressOf(place, NAME)), Array(3).fill("unreadable"));
      await page.goto(addressOf(place, NAME));
      await waitForState(page, "web", "RUNNING");
      assert.equal(await row(page, "web").locator(".cell-pid").textContent(), pid);
    } finally {
      server.close();
    }
  });
}

/** The place in front of the daemon that was told neither a password nor a name. */
const openPlace = (shape) => places.find((place) => place.daemon === "open" && place.shape === shape);

testPage("what is refused is explained where it was asked for", { expected: /403|Cross-Origin-Opener-Policy/ }, async (page) => {
  await page.goto(addressOf(openPlace("Host is the upstream's"), NAME));
  await page.locator("#connection.is-live").waitFor();
  await row(page, "web").getByRole("button", { name: "Restart" }).click();
  const notice = page.locator(".notice.failure");
  await notice.waitFor();
  const text = await notice.textContent();
  assert.match(text, /Could not restart web/);
  assert.match(text, /X-Forwarded-Host/);
  assert.match(text, /allowed_hosts=ops\.test/);
});

testPage("a name that nobody knows is explained instead of the page", { expected: /403/ }, async (page) => {
  const response = await page.goto(addressOf(openPlace("Host without a port"), NAME));
  assert.equal(response.status(), 403);
  await page.getByText("write allowed_hosts=ops.test into [inet_http_server]").waitFor();
});

testPage("a page whose files do not come says so", { expected: /404|Failed to load/ }, async (page) => {
  const place = openPlace("below a path");
  await page.route("**/page/**", (route) => route.fulfill({ status: 404, body: "" }));
  await page.goto(addressOf(place, "127.0.0.1"));
  await page.locator("#not-loaded", { hasText: "proxy" }).waitFor();
});

testPage("a connection that is refused is explained", { expected: /403/ }, async (page) => {
  const place = openPlace("below a path");
  const problem = { status: 403, contentType: "application/problem+json", body: JSON.stringify({ detail: "not by this name" }) };
  await page.route("**/api/**", (route) => route.fulfill(problem));
  await page.goto(addressOf(place, "127.0.0.1"));
  await page.locator("#banner", { hasText: "not by this name" }).waitFor();
});
