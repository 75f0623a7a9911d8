/** The view of the processes: the table with its filters and actions, and what stands beside it. */

import { Actions } from "./actions.js";
import { Details } from "./details.js";
import { byId, make, setAttribute, setText } from "./dom.js";
import * as format from "./format.js";
import { openMenu } from "./menu.js";
import { go } from "./router.js";
import { remember, remembered } from "./settings.js";
import { STATES, canStartAlone, isActive, takesSignals } from "./states.js";
import { dependentsOf } from "./needs.js";
import { ProcessTable } from "./table.js";
import { visibleText } from "./text.js";
import { makeTimeline } from "./timeline.js";

/** Changes listed beside the table. */
const CHANGES = 100;

/** Where there is little room, the changes are shown when somebody asks for them. */
const isNarrow = matchMedia("(max-width: 760px)").matches;

export class ProcessView {
  table;
  details;

  #store;
  #actions;
  #hasChanges = remembered("changes", isNarrow ? "no" : "yes") === "yes";

  /** @param {import("./store.js").Store} store */
  constructor(store) {
    this.#store = store;
    this.table = new ProcessTable(store);
    this.details = new Details(byId("details"), store);
    this.#actions = new Actions(this.table);
    this.table.onchange = () => this.#showCounts();
    byId("changes").append(makeTimeline(store, { most: CHANGES }).element);
    this.#bindToolbar();
    this.#bindButtons();
    this.#showSide();
    store.subscribe((_, topics) => {
      if (topics.has("set") || topics.has("state")) this.#showCounts();
    });
  }

  /** Shows one process beside the table; `null` shows the last changes. */
  openDetails(namespec) {
    const former = this.details.namespec;
    if (namespec === null) this.details.close();
    else this.details.open(namespec);
    this.#showSide();
    this.table.setOpen(namespec);
    if (namespec !== null && namespec !== former) byId("details-title").focus();
    else if (namespec === null && former !== null) this.table.focus(former);
  }

  /**
   * Does something to the selection, or else to the process the keyboard is on.
   *
   * @param {string} action  as for `Actions.run`
   */
  actByKey(action) {
    const target = this.table.selection.size > 0 ? this.#selection() : this.#currentProcess();
    if (target !== null) this.#actions.run(action, target, { asks: action === "stop" || action === "restart" });
  }

  /** The process that keys are about: the one shown in detail, or the one whose row has the keyboard. */
  get currentName() {
    return this.details.namespec ?? this.table.current;
  }

  /** Takes filter and selection back, one after the other; `false` if there is nothing to take back. */
  retreat() {
    if (this.details.namespec !== null) go();
    else if (this.table.selection.size > 0) this.table.selection.clear();
    else if (this.table.order.isFiltering) this.#clearFilter();
    else return false;
    return true;
  }

  toggleGroups() {
    this.table.order.isGrouped = !this.table.order.isGrouped;
    byId("grouped").checked = this.table.order.isGrouped;
    this.table.reorder();
  }

  toggleChanges() {
    this.#hasChanges = !this.#hasChanges;
    remember("changes", this.#hasChanges ? "yes" : "no");
    this.#showSide();
  }

  /** Does something to the process of this name. */
  act(action, namespec) {
    return this.#actions.run(action, processTarget(namespec));
  }

  #bindToolbar() {
    const filter = byId("filter");
    filter.addEventListener("input", () => {
      this.table.order.setFilter(filter.value);
      this.table.reorder();
    });
    filter.addEventListener("keydown", (event) => {
      if (event.key === "ArrowDown" || event.key === "Enter") this.table.move(-Infinity);
    });
    byId("grouped").checked = this.table.order.isGrouped;
    byId("grouped").addEventListener("change", () => this.toggleGroups());
    byId("changes-toggle").addEventListener("click", () => this.toggleChanges());
    byId("select-none").addEventListener("click", () => this.table.selection.clear());
    byId("states").addEventListener("click", (event) => {
      const chip = event.target.closest("[data-state]");
      if (chip === null) return;
      this.table.order.state = chip.dataset.state === "" ? null : chip.dataset.state;
      this.table.reorder();
    });
  }

  #bindButtons() {
    byId("rows").addEventListener("click", (event) => {
      const button = event.target.closest("[data-action]");
      if (button === null) return;
      const { namespec, group } = button.closest("tr").dataset;
      const target = namespec === undefined ? this.#group(group) : processTarget(namespec);
      this.#pressed(button, target);
    });
    byId("details").addEventListener("click", (event) => {
      const button = event.target.closest("[data-action]");
      if (button !== null) this.#pressed(button, processTarget(this.details.namespec));
    });
    byId("acting").addEventListener("click", (event) => {
      const button = event.target.closest("[data-action]");
      if (button !== null) this.#pressed(button, this.#many());
    });
  }

  #pressed(button, target) {
    const { action } = button.dataset;
    const [namespec] = target.names;
    if (action === "more") this.#openMenu(button, target);
    else if (action === "enable" || action === "disable") this.#actions.setEnabled(namespec, action === "enable");
    else if (action === "scale") this.#actions.scale(this.#store.processes.get(namespec)?.program);
    else this.#actions.run(action, target);
  }

  #openMenu(button, target) {
    const item = (text, action, danger) => ({ text, danger, run: () => this.#actions.run(action, target) });
    const items = [item("Signal…", "signal"), item("Clear log…", "clear", true)];
    if (target.kind === "process") {
      const [namespec] = target.names;
      const process = this.#store.processes.get(namespec);
      if (!takesSignals(process?.state)) items.shift();
      if (!isActive(process?.state)) items.unshift(item("Restart", "restart"));
      if (process !== undefined && canStartAlone(process)) items.unshift(item("Start without dependencies", "startAlone"));
      const dependents = dependentsOf(this.#store, namespec);
      if (isActive(process?.state) && dependents.some((name) => isActive(this.#store.processes.get(name).state))) {
        const stop = () => this.#actions.run("stopWithDependents", target, { asks: true });
        items.push({ text: "Stop with dependents…", danger: true, run: stop });
      }
      const open = (text, ...words) => ({ text, run: () => go(...words) });
      items.unshift(open("Details", "process", namespec), open("stdout", "log", namespec, "stdout"), open("stderr", "log", namespec, "stderr"), null);
    }
    openMenu(button, `More for ${target.title}`, items);
  }

  #currentProcess() {
    return this.currentName === null ? null : processTarget(this.currentName);
  }

  #selection() {
    const names = this.table.selection.names();
    return { kind: "selection", title: format.plural(names.length, "selected process", "selected processes"), names };
  }

  #group(group) {
    return { kind: "group", title: `group ${visibleText(group)}`, group, names: this.table.membersOf(group) };
  }

  /** What the buttons above the table are about: the selection, else what the filter shows, else everything. */
  #many() {
    if (this.table.selection.size > 0) return this.#selection();
    const names = this.table.shown();
    if (!this.table.order.isFiltering) return { kind: "all", title: "all processes", names };
    return { kind: "selection", title: format.plural(names.length, "process that is shown", "processes that are shown"), names };
  }

  #clearFilter() {
    byId("filter").value = "";
    this.table.order.setFilter("");
    this.table.order.state = null;
    this.table.reorder();
  }

  #showSide() {
    const hasDetails = this.details.namespec !== null;
    byId("details").hidden = !hasDetails;
    byId("side").hidden = hasDetails || !this.#hasChanges;
    setAttribute(byId("changes-toggle"), "aria-pressed", String(this.#hasChanges));
  }

  #showCounts() {
    const counts = new Map();
    for (const { state } of this.#store.processes.values()) counts.set(state, (counts.get(state) ?? 0) + 1);
    this.#showChips(counts);
    const { size } = this.table.selection;
    const shown = this.table.shown().length;
    const whom = this.table.order.isFiltering ? `${format.count(shown)} shown` : "All processes";
    setText(byId("acting-on"), size > 0 ? `${format.count(size)} selected` : whom);
    byId("select-none").hidden = size === 0;
    byId("acting").classList.toggle("has-selection", size > 0);
    byId("acting").hidden = this.#store.processes.size === 0;
    this.#showEmpty();
  }

  #showChips(counts) {
    const { state: chosen } = this.table.order;
    const states = STATES.filter((state) => counts.has(state) || state === chosen);
    const wanted = [["", this.#store.processes.size], ...states.map((state) => [state, counts.get(state) ?? 0])];
    const box = byId("states");
    const isSame = box.childElementCount === wanted.length && wanted.every(([state], index) => box.children[index].dataset.state === state);
    if (!isSame) box.replaceChildren(...wanted.map(([state]) => makeChip(state)));
    wanted.forEach(([state, count], index) => {
      const chip = box.children[index];
      setText(chip.lastChild, format.count(count));
      setAttribute(chip, "aria-pressed", String((chosen ?? "") === state));
    });
  }

  #showEmpty() {
    const total = this.#store.processes.size;
    const isEmpty = this.table.shown().length === 0;
    byId("no-rows").hidden = !isEmpty;
    if (!isEmpty) return;
    const waiting = this.#store.daemon === null ? "Waiting for the daemon…" : "No programs to manage. Add some to the configuration, then update.";
    setText(byId("no-rows"), total > 0 ? `None of ${format.plural(total, "process", "processes")} matches the filter. Esc clears it.` : waiting);
  }
}

function processTarget(namespec) {
  return { kind: "process", title: visibleText(namespec), names: [namespec] };
}

function makeChip(state) {
  return make(
    "button",
    { type: "button", "data-state": state },
    make("span", {}, state === "" ? "All" : `${state[0]}${state.slice(1).toLowerCase()}`),
    make("span", { class: "number" }),
  );
}
