/** One row of the table: made once from a mould, then only changed where its process did. */

import { make, setAttribute, setText } from "./dom.js";
import * as format from "./format.js";
import { exitText, uptimeText } from "./columns.js";
import { isActive, remark, stateClass } from "./states.js";
import { visibleText } from "./text.js";

/** Where things stand in the mould. */
const CELLS = ["select", "name", "state", "uptime", "pid", "cpu", "memory", "restarts", "exit", "actions"];

const mould = makeMould();

/** Somebody who does not want to see things move. */
const calm = matchMedia("(prefers-reduced-motion: reduce)");

function makeMould() {
  const cell = (key, ...children) => make("td", { role: "cell", class: `cell-${key}` }, ...children);
  const button = (action, text) => make("button", { type: "button", "data-action": action, tabindex: -1 }, text);
  return make(
    "tr",
    { role: "row", class: "process", tabindex: -1 },
    cell("select", make("input", { type: "checkbox", tabindex: -1 })),
    make("th", { role: "rowheader", scope: "row", class: "cell-name" }, make("a", { tabindex: -1 })),
    cell("state", make("span", {}), make("span", { role: "img", hidden: true })),
    ...["uptime", "pid", "cpu", "memory", "restarts", "exit"].map((key) => cell(key)),
    cell("actions", button("primary", ""), button("restart", "Restart"), button("more", "⋯")),
  );
}

export class Row {
  /** @param {import("./wire.js").Process} process */
  constructor(process) {
    this.element = mould.cloneNode(true);
    this.element.dataset.namespec = process.namespec;
    this.cells = Object.fromEntries(CELLS.map((key, index) => [key, this.element.children[index]]));
    this.checkbox = this.cells.select.firstChild;
    this.link = this.cells.name.firstChild;
    [this.state, this.health] = this.cells.state.children;
    [this.primary, this.restart, this.more] = this.cells.actions.children;
    const name = visibleText(process.namespec);
    setAttribute(this.checkbox, "aria-label", `Select ${name}`);
    setAttribute(this.restart, "aria-label", `Restart ${name}`);
    setAttribute(this.more, "aria-label", `More for ${name}`);
    setAttribute(this.more, "title", "More: logs, signals, details");
    setAttribute(this.link, "href", `#/process/${encodeURIComponent(process.namespec)}`);
    setAttribute(this.cells.name, "title", name);
    this.process = null;
  }

  /** Shows what the process is now. */
  update(process, now) {
    const before = this.process;
    this.process = process;
    if (before?.state !== process.state) this.#updateState(process, before !== null);
    if (before?.pid !== process.pid) setText(this.cells.pid, process.pid === null ? "" : String(process.pid));
    if (before?.cpu !== process.cpu) setText(this.cells.cpu, process.cpu === null ? "" : format.percent(process.cpu));
    if (before?.memory !== process.memory) {
      setText(this.cells.memory, process.memory === null ? "" : format.bytes(process.memory));
    }
    if (before?.restarts !== process.restarts) {
      setText(this.cells.restarts, process.restarts === null ? "" : format.count(process.restarts));
      this.cells.restarts.classList.toggle("is-zero", process.restarts === 0);
    }
    if (before?.life !== process.life) this.#updateHealth(process.life?.health ?? null);
    if (before?.exit !== process.exit || before?.why !== process.why || before?.life !== process.life) this.#updateExit(process, now);
    this.tick(now);
  }

  /** Lets the uptime go on. */
  tick(now) {
    if (this.process.startedAt === null && this.cells.uptime.firstChild === null) return;
    setText(this.cells.uptime, uptimeText(this.process, now));
  }

  /** Shows whether an action is under way. */
  setBusy(isBusy) {
    setAttribute(this.element, "aria-busy", isBusy ? "true" : null);
  }

  setSelected(isSelected) {
    this.checkbox.checked = isSelected;
    this.element.classList.toggle("is-selected", isSelected);
  }

  /** Below the heading of its group, a process is called by its own name. */
  setMember(isMember) {
    const { name, namespec } = this.process;
    setText(this.link, visibleText(isMember ? name : namespec));
    this.element.classList.toggle("is-member", isMember);
  }

  #updateState(process, flash) {
    this.state.className = stateClass(process.state);
    setText(this.state, process.state);
    const active = isActive(process.state);
    setText(this.primary, active ? "Stop" : "Start");
    this.primary.dataset.action = active ? "stop" : "start";
    setAttribute(this.primary, "aria-label", `${active ? "Stop" : "Start"} ${visibleText(process.namespec)}`);
    this.restart.hidden = !active;
    if (flash && !calm.matches) this.element.animate([{ backgroundColor: "var(--flash)" }, {}], { duration: 900, easing: "ease-out" });
  }

  /** Of those whose health is checked, a mark beside the state. */
  #updateHealth(health) {
    const isKnown = health !== null && health.isHealthy !== null;
    this.health.hidden = !isKnown;
    if (!isKnown) return;
    const word = health.isHealthy ? "healthy" : "unhealthy";
    this.health.className = `health is-${word}`;
    setAttribute(this.health, "aria-label", word);
    setAttribute(this.health, "title", word);
    setText(this.health, health.isHealthy ? "✓" : "✗");
  }

  #updateExit(process, now) {
    const said = remark(process);
    const text = visibleText(said === "" ? exitText(process, now) : said);
    setText(this.cells.exit, text);
    setAttribute(this.cells.exit, "title", text === "" ? null : text);
    const isBad = said === "" ? process.exit?.isExpected === false : process.why !== "" || process.life?.word === "unhealthy";
    this.cells.exit.classList.toggle("is-bad", isBad);
  }
}
