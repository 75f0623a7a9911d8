/** What a person does with the page, from the first look to the last. */

import assert from "node:assert/strict";
import fs from "node:fs";
import { inDirectory, open, row, testPage, until, waitForState } from "./browser.js";

const press = (page, keys) => page.keyboard.press(keys);
const notice = (page, kind) => page.locator(`.notice.${kind}`).last();

testPage("a crash appears by itself, is looked into and mended", {}, async (page) => {
  await open(page);
  await waitForState(page, "fragile", "RUNNING");
  await page.evaluate(() => { window.isTheSamePage = true; });

  fs.writeFileSync(inDirectory("crash"), "");
  await waitForState(page, "fragile", "EXITED");
  assert.match(await row(page, "fragile").locator(".cell-exit").textContent(), /^exit 3 · /);
  await page.locator("#side .timeline li", { hasText: "fragile" }).filter({ hasText: "EXITED" }).first().waitFor();

  await row(page, "fragile").getByRole("link").click();
  await page.locator("#details h2", { hasText: "fragile" }).waitFor();
  await page.locator("#details").getByRole("link", { name: "stderr" }).click();
  await page.locator("#log .line", { hasText: "the disk is on fire" }).waitFor();
  assert.equal(await page.locator("#log .ink-1.bold", { hasText: "ERROR" }).count(), 1);

  await page.goBack();
  await page.locator("#details").getByRole("button", { name: "Start" }).click();
  await waitForState(page, "fragile", "RUNNING");
  await notice(page, "success").filter({ hasText: "fragile: started" }).waitFor();

  await page.getByRole("link", { name: "Close details" }).click();
  const pid = () => row(page, "fragile").locator(".cell-pid").textContent();
  const before = await pid();
  await row(page, "fragile").getByRole("button", { name: "Restart" }).click();
  await notice(page, "success").filter({ hasText: "fragile: restarted" }).waitFor();
  await until("it has another pid", async () => ![before, ""].includes(await pid()));
  assert.ok(await page.evaluate(() => window.isTheSamePage), "the page was loaded again");
});

testPage("what fails says why, and stays until it is read", {}, async (page) => {
  await open(page);
  await waitForState(page, "missing", "FATAL");
  await row(page, "missing").getByRole("button", { name: "Start" }).click();
  const failure = notice(page, "failure");
  await failure.filter({ hasText: "Could not start missing" }).waitFor();
  assert.match(await failure.textContent(), /NO_FILE|no such file|can't find/i);
  await failure.getByRole("button", { name: "Dismiss" }).click();
  assert.equal(await page.locator(".notice").count(), 0);
});

testPage("filters and columns find and order", {}, async (page) => {
  await open(page);
  await waitForState(page, "web", "RUNNING");
  await press(page, "/");
  await page.keyboard.type("work run");
  await until("two are shown", async () => (await page.locator("tr.process").count()) === 2);
  assert.equal(await page.locator("tr.group").count(), 1);
  assert.equal(await page.locator("#acting-on").textContent(), "2 shown");
  await page.locator("#acting").getByRole("button", { name: "Restart" }).click();
  const names = page.getByRole("dialog").locator(".names li");
  assert.deepEqual(await names.allTextContents(), ["worker:worker_00", "worker:worker_01"]);
  await page.getByRole("dialog").getByRole("button", { name: "Cancel" }).click();
  await press(page, "/");
  await press(page, "Escape");
  await press(page, "Escape");
  await until("all are shown", async () => (await page.locator("tr.process").count()) > 4);

  await page.locator("#states").getByRole("button", { name: /^Fatal/ }).click();
  assert.deepEqual(await page.locator("tr.process").evaluateAll((rows) => rows.map((row) => row.dataset.namespec)), ["missing"]);
  await press(page, "Escape");

  await page.getByRole("columnheader", { name: "State" }).getByRole("button").click();
  assert.equal(await page.locator("tr.process").first().getAttribute("data-namespec"), "missing");
  assert.equal(await page.getByRole("columnheader", { name: "State" }).getAttribute("aria-sort"), "ascending");
  await page.getByRole("columnheader", { name: "State" }).getByRole("button").click();
  assert.equal(await page.locator("tr.process").last().getAttribute("data-namespec"), "missing");

  await page.getByLabel("Groups").uncheck();
  assert.equal(await page.locator("tr.group").count(), 0);
  await page.reload();
  await waitForState(page, "web", "RUNNING");
  assert.equal(await page.locator("tr.group").count(), 0, "the choice is remembered");
});

testPage("a theme is chosen and remembered", { colorScheme: "light" }, async (page) => {
  const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  await open(page);
  const light = await background();
  await page.getByRole("button", { name: "Switch to the dark theme" }).click();
  const dark = await background();
  assert.notEqual(dark, light);
  await page.reload();
  assert.equal(await background(), dark);
  await press(page, "d");
  assert.equal(await background(), light);
  await page.emulateMedia({ colorScheme: "dark" });
  assert.equal(await background(), dark, "without a choice the system decides");
});

testPage("the keyboard is enough", {}, async (page) => {
  await open(page);
  await waitForState(page, "web", "RUNNING");
  const focused = () => page.evaluate(() => document.activeElement.dataset.namespec);
  await press(page, "j");
  const first = await focused();
  await press(page, "ArrowDown");
  assert.notEqual(await focused(), first);
  await press(page, "Home");
  assert.equal(await focused(), first);
  await press(page, "End");
  assert.equal(await focused(), "worker:worker_01");
  await press(page, "x");
  await press(page, "k");
  await press(page, "x");
  assert.match(await page.locator("#acting-on").textContent(), /^2 selected/);

  await press(page, "t");
  const question = page.getByRole("dialog");
  await question.filter({ hasText: "worker:worker_00" }).waitFor();
  // The safe answer has the focus.
  await press(page, "Enter");
  await question.waitFor({ state: "detached" });
  await waitForState(page, "worker:worker_00", "RUNNING");
  await press(page, "t");
  await question.getByRole("button", { name: "Stop" }).press("Enter");
  await waitForState(page, "worker:worker_00", "STOPPED");
  await waitForState(page, "worker:worker_01", "STOPPED");
  await notice(page, "success").filter({ hasText: "2 of 2 processes" }).waitFor();
  await press(page, "s");
  await waitForState(page, "worker:worker_01", "RUNNING");
  await notice(page, "success").filter({ hasText: "started" }).waitFor();
  // One after the other: the notices, then the selection.
  await until("everything is taken back", async () => {
    if ((await page.locator("#acting-on").textContent()) === "All processes") return true;
    await press(page, "Escape");
    return false;
  });

  await press(page, "?");
  await page.getByRole("dialog").filter({ hasText: "Keyboard" }).waitFor();
  assert.match(await page.getByRole("dialog").textContent(), /Next process/);
  await press(page, "Escape");
  await press(page, "2");
  await page.locator("#log-name", { hasText: "Activity log" }).waitFor();
  await press(page, "Escape");
  await row(page, "web").waitFor();
  await press(page, "End");
  await press(page, "l");
  await page.locator("#log-name", { hasText: "worker:worker_01" }).waitFor();
});

testPage("many are selected with the shift key, and told apart by what came of it", {}, async (page) => {
  await open(page);
  await waitForState(page, "web", "RUNNING");
  const names = await page.locator("tr.process").evaluateAll((rows) => rows.map((row) => row.dataset.namespec));
  await row(page, names.at(-3)).getByRole("checkbox").check();
  await row(page, names.at(-1)).getByRole("checkbox").click({ modifiers: ["Shift"] });
  assert.match(await page.locator("#acting-on").textContent(), /^3 selected/);
  await page.locator("#acting").getByRole("button", { name: "Start", exact: true }).click();
  await notice(page, "success").filter({ hasText: "3 processes were there already" }).waitFor();
  await row(page, "missing").getByRole("checkbox").check();
  await page.locator("#acting").getByRole("button", { name: "Start", exact: true }).click();
  await notice(page, "failure").filter({ hasText: "missing: NO_FILE" }).waitFor();
  await page.getByRole("button", { name: "Select none" }).click();
  assert.equal(await page.locator("tr.is-selected").count(), 0);
});

testPage("groups are stopped after a question, signals chosen, logs cleared", {}, async (page) => {
  await open(page);
  await waitForState(page, "team:talker", "RUNNING");
  // It says something when it can hear a signal.
  const said = () => (fs.readFileSync(inDirectory("talker.log"), "utf8").match(/^talking$/gm) ?? []).length;
  await until("it listens", () => said() >= 1);
  const saidBefore = said();
  const group = page.locator('tr.group[data-group="team"]');
  await group.getByRole("button", { name: "Stop" }).click();
  const question = page.getByRole("dialog");
  await question.getByRole("button", { name: "Cancel" }).click();
  await waitForState(page, "team:talker", "RUNNING");
  await group.getByRole("button", { name: "Restart" }).click();
  await question.filter({ hasText: "Restart group team?" }).getByRole("button", { name: "Restart" }).click();
  await notice(page, "success").filter({ hasText: "group team: restarted" }).waitFor();
  await waitForState(page, "team:talker", "RUNNING");
  await until("it listens again", () => said() > saidBefore);

  await row(page, "team:talker").getByRole("button", { name: "More" }).click();
  await page.getByRole("menuitem", { name: "Signal" }).click();
  await question.getByRole("button", { name: "USR1" }).click();
  await question.getByRole("button", { name: "Send" }).click();
  await notice(page, "success").filter({ hasText: "team:talker: signalled" }).waitFor();
  await page.goto("#/log/team%3Atalker/stdout");
  await page.locator("#log .line", { hasText: "heard USR1" }).waitFor();

  await page.getByRole("button", { name: "Clear log" }).click();
  await question.filter({ hasText: "cannot be undone" }).getByRole("button", { name: "Clear log" }).click();
  await page.locator("#log .remark", { hasText: "cleared or rotated" }).waitFor();
  await until("the file is empty", () => fs.statSync(inDirectory("talker.log")).size === 0);
});

testPage("a program is scaled, disabled and enabled where its process is shown", {}, async (page) => {
  await open(page, "#/process/worker%3Aworker_00");
  const details = page.locator("#details");
  const question = page.getByRole("dialog");
  await details.getByRole("button", { name: "Scale" }).click();
  await question.getByRole("button", { name: "One more" }).click();
  await question.getByRole("button", { name: "Scale" }).click();
  await notice(page, "success").filter({ hasText: "worker: scaled from 2 to 3" }).filter({ hasText: "until the daemon ends" }).waitFor();
  await waitForState(page, "worker:worker_02", "RUNNING");
  await details.getByRole("button", { name: "Disable" }).click();
  await notice(page, "success").filter({ hasText: "worker:worker_00: disabled" }).waitFor();
  await details.locator("dl", { hasText: "no: disabled" }).waitFor();
  await details.getByRole("button", { name: "Enable" }).click();
  await notice(page, "success").filter({ hasText: "worker:worker_00: enabled" }).waitFor();
  await details.getByRole("button", { name: "Disable" }).waitFor();
  await details.getByRole("button", { name: "Scale" }).click();
  await question.getByRole("spinbutton").fill("2");
  await question.getByRole("button", { name: "Scale" }).click();
  await notice(page, "success").filter({ hasText: "worker: scaled from 3 to 2" }).waitFor();
  await until("it is gone", async () => (await row(page, "worker:worker_02").count()) === 0);
});

testPage("a log is followed, paused and searched", {}, async (page) => {
  const say = (text) => fs.appendFileSync(inDirectory("said"), `${text}\n`);
  say("first");
  await open(page, "#/log/speaker/stdout");
  await page.locator("#log .line", { hasText: "first" }).waitFor();
  say("second");
  await page.locator("#log .line", { hasText: "second" }).waitFor();

  await page.getByRole("button", { name: "Pause" }).click();
  say("third");
  await page.locator("#log-status", { hasText: "Paused" }).waitFor();
  await page.getByRole("button", { name: "Resume" }).click();
  await page.locator("#log .line", { hasText: "third" }).waitFor();
  assert.equal(await page.locator("#log .line", { hasText: "second" }).count(), 1, "nothing comes twice");

  await press(page, "/");
  await page.keyboard.type("IR");
  await page.locator("#log-found", { hasText: "2 lines" }).waitFor();
  await press(page, "Enter");
  await page.locator("#log .is-current", { hasText: "first" }).waitFor();
  await page.getByLabel("Only found").check();
  assert.equal(await page.locator("#log .line", { hasText: "second" }).isVisible(), false);
  say("the fourth and a bird");
  await page.locator("#log-found", { hasText: "of 3 lines" }).waitFor();

  const waiting = page.waitForEvent("download");
  await page.getByRole("link", { name: "Download" }).click();
  const download = await waiting;
  assert.match(fs.readFileSync(await download.path(), "utf8"), /first\nsecond\nthird\n/);
});

// A file that is wrong is an error in the browser's eyes.
testPage("the configuration is shown, compared and taken over", { expected: /status of 422/ }, async (page) => {
  await open(page, "#/config");
  const setting = (section, key) => page.locator("#settings .card", { hasText: `[${section}]` }).locator(".setting", { has: page.locator(`dt:text-is("${key}")`) });
  assert.match(await setting("program:web", "command").textContent(), /sleep/);
  assert.match(await setting("program:web", "command").locator(".origin").textContent(), /supervisord\.conf/);
  assert.doesNotMatch(await page.locator("#settings").textContent(), /hunter2/);
  assert.match(await setting("program:web", "environment").textContent(), /PASSWORD="\*+"/);
  assert.equal(await setting("program:web", "numprocs").isVisible(), false);
  await page.getByLabel("Without defaults").uncheck();
  assert.equal(await setting("program:web", "numprocs").isVisible(), true);
  await page.getByLabel("Filter settings").fill("web autostart");
  assert.equal(await page.locator(".setting:visible").count(), 1);

  await page.locator("#reread-result", { hasText: "Nothing" }).waitFor();
  const conf = inDirectory("supervisord.conf");
  const before = fs.readFileSync(conf, "utf8");
  fs.writeFileSync(conf, `${before}\n[program:late]\ncommand=/bin/sleep 3600\nstartsecs=0\n`);
  await page.getByRole("button", { name: "Look again" }).click();
  await page.locator(".difference", { hasText: "late" }).filter({ hasText: "added" }).waitFor();
  await page.getByRole("button", { name: "Update…" }).click();
  await page.getByRole("dialog").filter({ hasText: "add late and start it" }).getByRole("button", { name: "Update" }).click();
  await notice(page, "success").filter({ hasText: "late: added" }).waitFor();
  await page.getByRole("link", { name: "Processes" }).click();
  await waitForState(page, "late", "RUNNING");

  fs.writeFileSync(conf, `${before}\n[program:broken]\n`);
  await page.getByRole("link", { name: "Configuration" }).click();
  await page.locator("#reread-result .problem", { hasText: "broken" }).waitFor();
  assert.equal(await page.getByRole("button", { name: "Update…" }).isDisabled(), true);

  fs.writeFileSync(conf, before);
  await page.getByRole("button", { name: "Look again" }).click();
  await page.getByRole("button", { name: "Update…" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Update" }).click();
  await page.getByRole("link", { name: "Processes" }).click();
  await until("it is gone", async () => (await row(page, "late").count()) === 0);
});
