/** The panel about one process: what is known of it, its charts, its last changes. */

import { readJson } from "./api.js";
import { make, setAttribute, setText } from "./dom.js";
import { makeChart } from "./chart.js";
import * as format from "./format.js";
import { addressOf } from "./router.js";
import { makeNeeds } from "./needs.js";
import { canStartAlone, isActive, remark, stateClass, takesSignals } from "./states.js";
import { visibleText } from "./text.js";
import { makeTimeline } from "./timeline.js";

/** Points kept in a chart beyond those of the history: an hour of one every second at most. */
const MOST_POINTS = 3600;

export class Details {
  /** The process shown; `null` for none. */
  namespec = null;

  #store;
  #panel;
  #parts = null;
  #history = [];

  /**
   * @param {HTMLElement} panel
   * @param {import("./store.js").Store} store
   */
  constructor(panel, store) {
    this.#panel = panel;
    this.#store = store;
    store.subscribe((changed, topics) => {
      if (this.namespec === null) return;
      if (changed.has(this.namespec) || topics.has("set")) this.#update();
      if (topics.has("usage")) this.#addSample();
    });
    setInterval(() => this.#tick(), 1000);
  }

  /** Shows a process. */
  open(namespec) {
    if (this.namespec === namespec) return;
    this.namespec = namespec;
    this.#history = [];
    this.#build();
    this.#update();
    this.#readHistory(namespec);
  }

  close() {
    this.namespec = null;
    this.#parts = null;
    this.#panel.replaceChildren();
  }

  #build() {
    const name = visibleText(this.namespec);
    const state = make("span", {});
    const next = make("p", { class: "details-why" });
    const facts = make("dl", { class: "facts" });
    const cpu = makeChart("CPU", format.percent, 10);
    const memory = makeChart("Memory", format.bytes, 1 << 20);
    const needs = makeNeeds(this.#store, this.namespec);
    const timeline = makeTimeline(this.#store, {
      most: 30, withNames: false, accepts: (change) => change.namespec === this.namespec,
    });
    const button = (action, text) => make("button", { type: "button", "data-action": action }, text);
    const buttons = {
      start: button("start", "Start"), startAlone: button("startAlone", "Start without dependencies"), stop: button("stop", "Stop"), restart: button("restart", "Restart"),
      signal: button("signal", "Signal…"), clear: button("clear", "Clear log…"),
      scale: button("scale", "Scale…"), enable: button("enable", "Enable"), disable: button("disable", "Disable"),
    };
    const log = (stream) => make("a", { href: addressOf("log", this.namespec, stream), class: "button" }, stream);
    const logs = { stdout: log("stdout"), stderr: log("stderr") };
    const close = make("a", { href: "#/", class: "button quiet", "aria-label": "Close details", title: "Close (Esc)" }, "×");
    this.#panel.replaceChildren(
      make("header", {}, make("h2", { id: "details-title", tabindex: -1 }, name), close),
      make("div", { class: "details-state" }, state, next),
      make("div", { class: "details-buttons", role: "group", "aria-label": "Actions" }, ...Object.values(buttons)),
      make("div", { class: "details-buttons", role: "group", "aria-label": "Logs" }, make("span", { class: "label" }, "Logs"), ...Object.values(logs)),
      needs.element,
      cpu.element,
      memory.element,
      facts,
      make("h3", {}, "Last changes"),
      timeline.element,
    );
    this.#parts = { state, next, needs, facts, cpu, memory, buttons, logs };
  }

  #update() {
    const process = this.#store.processes.get(this.namespec);
    const { state, buttons, logs } = this.#parts;
    if (process === undefined) {
      state.className = "state state-unknown";
      setText(state, this.#store.processes.size === 0 ? "LOADING" : "NOT THERE");
      for (const button of Object.values(buttons)) button.disabled = true;
      return;
    }
    state.className = stateClass(process.state);
    setText(state, process.state);
    const active = isActive(process.state);
    for (const button of Object.values(buttons)) button.disabled = false;
    buttons.start.hidden = active;
    buttons.startAlone.hidden = !canStartAlone(process);
    buttons.stop.hidden = !active;
    buttons.restart.hidden = !active;
    const isDisabled = process.life?.isDisabled === true;
    buttons.enable.hidden = !isDisabled;
    buttons.disable.hidden = isDisabled;
    buttons.signal.disabled = !takesSignals(process.state);
    buttons.clear.disabled = !process.logs.stdout && !process.logs.stderr;
    for (const [stream, link] of Object.entries(logs)) {
      setAttribute(link, "aria-disabled", process.logs[stream] ? null : "true");
    }
    this.#parts.needs.update();
    this.#tick();
  }

  /** Everything in which the time stands. */
  #tick() {
    const process = this.namespec === null ? undefined : this.#store.processes.get(this.namespec);
    if (process === undefined || document.hidden) return;
    setText(this.#parts.next, visibleText(explanation(process, this.#store.now())));
    showFacts(this.#parts.facts, facts(process, this.#store.now()));
    this.#parts.needs.tick();
  }

  async #readHistory(namespec) {
    try {
      const points = await readHistory(namespec);
      if (this.namespec !== namespec) return;
      this.#history = points.concat(this.#history.filter(({ at }) => at > (points.at(-1)?.at ?? 0)));
    } catch {
      // The charts begin now, then.
    }
    this.#drawCharts();
  }

  #addSample() {
    const process = this.#store.processes.get(this.namespec);
    if (process === undefined || process.cpu === null) return;
    this.#history.push({ at: this.#store.now(), cpu: process.cpu, memory: process.memory });
    if (this.#history.length > MOST_POINTS) this.#history.shift();
    this.#drawCharts();
  }

  #drawCharts() {
    if (this.#parts === null) return;
    const now = this.#store.now();
    for (const key of ["cpu", "memory"]) {
      this.#parts[key].update(this.#history.map((point) => ({ at: point.at, value: point[key] })), now);
    }
  }
}

async function readHistory(namespec) {
  const { points } = await readJson(`history/${encodeURIComponent(namespec)}`);
  return points.map(({ at, cpu_percent: cpu, memory_bytes: memory }) => ({ at: at * 1000, cpu, memory }));
}

/** What went wrong and what happens next, as far as something does. */
function explanation(process, now) {
  return [remark(process), format.comingNext(process.next, now)].filter((text) => text !== "").join(" · ");
}

function facts(process, now) {
  const { exit } = process;
  return [
    ["Uptime", process.startedAt === null ? null : format.duration((now - process.startedAt) / 1000)],
    ["Started", process.startedAt === null ? null : format.moment(process.startedAt)],
    ["PID", process.pid],
    ["Group", process.group],
    ["Restarts", format.count(process.restarts)],
    ["Last exit", exit === null ? null : exit.text],
    ["Exited", exit?.at ? format.moment(exit.at) : null],
    ["Had run for", exit === null || exit.lasted === null ? null : format.duration(exit.lasted)],
    ...lifeFacts(process.life),
  ].filter(([, value]) => value !== null);
}

function lifeFacts(life) {
  if (life === null) return [];
  const { health, memory, ready, starts, given, cgroup } = life;
  const failures = health !== null && health.failures > 0 ? ` (${health.failures} failed in a row)` : "";
  const known = { true: "healthy", false: "unhealthy", null: "not known yet" };
  return [
    ["Starts with the daemon", life.isDisabled ? "no: disabled" : null],
    ["Kind", life.isOneshot ? "job (oneshot)" : null],
    ["Health", health === null ? null : `${known[health.isHealthy]}${failures}`],
    ["Health check", health === null ? null : health.probe],
    ["Memory limit", memory === null ? null : `${memory.used === null ? "not measured yet" : format.bytes(memory.used)} of ${format.bytes(memory.limit)}`],
    ["Last problem", life.problem === "" ? null : life.problem],
    ["Ready when", ready],
    ["Automatic starts", starts === null ? null : `${starts.count} of ${starts.limit} (restart_limit)`],
    ["Given", given.length === 0 ? null : given.map(([key, value]) => `${key}=${value}`).join("; ")],
    ["Control group", cgroup === null ? null : cgroupUse(cgroup)],
  ];
}

/** Of the kernel's counts those that it has: `12 MiB, 3 tasks, 1.2 s of processor time`. */
function cgroupUse({ memory_bytes: memory, cpu_seconds: cpu, tasks }) {
  const parts = [memory === null ? null : format.bytes(memory), tasks === null ? null : `${tasks} tasks`, cpu === null ? null : `${cpu.toFixed(1)} s of processor time`];
  return parts.filter((part) => part !== null).join(", ");
}

function showFacts(list, entries) {
  const isSame = list.childElementCount === entries.length && entries.every(([key], index) => list.children[index].firstChild.textContent === key);
  if (!isSame) list.replaceChildren(...entries.map(([key]) => make("div", {}, make("dt", {}, key), make("dd", {}))));
  entries.forEach(([, value], index) => setText(list.children[index].lastChild, visibleText(String(value))));
}
