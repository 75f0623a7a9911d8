/**
 * How fast the page is, and what it costs the daemon. benches/page.rs starts a daemon with many quiet processes and
 * runs this.
 */

import fs from "node:fs";
import http from "node:http";
import { address, launch, setting } from "./launch.js";

const LOADS = 7;
const CHANGES = 20;
const VIEWERS = 50;
/** How long quiet is watched, in seconds. */
const QUIET = 20;

const processes = Number(setting("PAGE_PROCESSES"));
const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));
const median = (numbers) => [...numbers].sort((one, other) => one - other)[Math.floor(numbers.length / 2)];
const told = (numbers) => `median ${median(numbers).toFixed(0)} ms, worst ${Math.max(...numbers).toFixed(0)} ms`;
const readJson = async (path) => (await fetch(`${address}api/v1/${path}`)).json();

const browser = await launch();
try {
  await paints();
  const page = await openPage();
  await changes(page);
  await quiet(page);
  await page.context().close();
  await viewers();
} finally {
  await browser.close();
}

/** A page in which every process has its row. */
async function openPage() {
  const context = await browser.newContext({ viewport: { width: 1360, height: 820 } });
  const page = await context.newPage();
  await page.addInitScript(() => {
    // After the next picture: when a person sees what is there now.
    window.seen = () => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve, 0)));
    const watch = new MutationObserver(async () => {
      if (document.querySelector("tr.process") === null) return;
      watch.disconnect();
      await window.seen();
      window.firstRowsAt = performance.now();
    });
    watch.observe(document, { childList: true, subtree: true });
  });
  await page.goto(address);
  await page.waitForFunction((count) => document.querySelectorAll("tr.process").length === count, processes);
  await page.waitForFunction(() => window.firstRowsAt !== undefined);
  return page;
}

/** From the request for the page until anything is seen, until rows are, and until all of them can be scrolled to. */
async function paints() {
  const frame = [];
  const first = [];
  const all = [];
  for (let load = 0; load < LOADS; load += 1) {
    const page = await openPage();
    frame.push(await page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0].startTime));
    first.push(await page.evaluate(() => window.firstRowsAt));
    all.push(await page.evaluate(() => performance.now()));
    await page.context().close();
  }
  console.log(
    `${processes} processes: first paint after ${told(frame)}; first rows painted after ${told(first)}; ` +
      `all rows made after ${told(all)}`,
  );
}

/** From a change of state, by the daemon's clock, until it is seen. */
async function changes(page) {
  const { token } = await readJson("session");
  const delays = [];
  for (let turn = 0; turn < CHANGES; turn += 1) {
    const namespec = await page.evaluate((place) => document.querySelectorAll("tr.process")[place].dataset.namespec, turn);
    await page.evaluate((name) => {
      const row = [...document.querySelectorAll("tr.process")].find((element) => element.dataset.namespec === name);
      window.seenAt = new Promise((resolve) => {
        const watch = new MutationObserver(async () => {
          if (row.querySelector(".state").textContent !== "STOPPED") return;
          watch.disconnect();
          await window.seen();
          resolve(Date.now());
        });
        watch.observe(row, { childList: true, subtree: true, characterData: true });
      });
    }, namespec);
    await fetch(`${address}api/v1/processes/${encodeURIComponent(namespec)}/stop`, {
      method: "POST", headers: { "X-Supervisord-Token": token },
    });
    const seenAt = await page.evaluate(() => window.seenAt);
    const { changes: latest } = await readJson("timeline?limit=20");
    delays.push(seenAt - latest.find((change) => change.namespec === namespec && change.to === "STOPPED").at_ms);
  }
  console.log(`a change of state is seen after ${told(delays)}`);
}

/** What goes over the wire while nothing changes. */
async function quiet(page) {
  const session = await page.context().newCDPSession(page);
  await session.send("Network.enable");
  let bytes = 0;
  session.on("Network.dataReceived", ({ encodedDataLength, dataLength }) => { bytes += encodedDataLength || dataLength; });
  // The first samples of what everybody uses are news.
  await sleep(15);
  bytes = 0;
  await sleep(QUIET);
  console.log(`one page, ${QUIET} s in which nothing changes: ${bytes} bytes received`);
}

/** Many pages, as the daemon sees them: what each of them keeps open. */
async function viewers() {
  const before = await cost(QUIET);
  const requests = Array.from({ length: VIEWERS }, () => http.get(`${address}api/v1/events`, (response) => response.resume()));
  requests.forEach((request) => request.on("error", () => {}));
  await sleep(5);
  const during = await cost(QUIET);
  requests.forEach((request) => request.destroy());
  console.log(`the daemon's CPU without a page ${before.toFixed(2)} %, with ${VIEWERS} pages ${during.toFixed(2)} %`);
}

/** The share of one processor that keeper and manager take over some seconds, in percent. */
async function cost(seconds) {
  const { pid, manager_pid: manager } = await readJson("daemon");
  const ticks = () => [pid, manager].reduce((sum, process) => sum + ticksOf(process), 0);
  const before = ticks();
  await sleep(seconds);
  // A tick is a hundredth of a second on every Linux that matters.
  return (ticks() - before) / seconds;
}

function ticksOf(pid) {
  const fields = fs.readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1).split(" ");
  return Number(fields[11]) + Number(fields[12]);
}
