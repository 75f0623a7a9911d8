/**
 * The table of processes. Rows are keyed by namespec and made once; a change touches the cells it is about. The first
 * rows are there with the first picture, the others follow in portions.
 */

import { arrange, byId, make, setAttribute } from "./dom.js";
import { COLUMNS } from "./columns.js";
import { countGroups, makeHeading, updateHeading } from "./headings.js";
import { Order } from "./order.js";
import { Row } from "./row.js";
import { Selection } from "./selection.js";

/** Rows in the first picture: more than fit on a screen. */
const FIRST_PORTION = 50;
/** Rows added at a time after that. */
const PORTION = 120;
/** For so many milliseconds after the pointer moved, rows do not change places under it. */
const POINTER_REST = 1500;

export class ProcessTable {
  order = new Order();
  selection = new Selection();
  /** Called when what is shown or selected may have changed. */
  onchange = () => {};

  #store;
  #head = byId("head");
  #body = byId("rows");
  #rows = new Map();
  #headings = new Map();
  #groups = new Map();
  /** How many actions are under way for a process. */
  #busy = new Map();
  /** Processes in the order in which they stand, whether their rows are made already or not. */
  #shown = [];
  #limit = FIRST_PORTION;
  #current = null;
  #open = null;
  #pointerMovedAt = -Infinity;
  #timer = null;

  /** @param {import("./store.js").Store} store */
  constructor(store) {
    this.#store = store;
    this.#makeHead();
    this.#body.addEventListener("pointermove", () => {
      this.#pointerMovedAt = performance.now();
    });
    this.#body.addEventListener("click", (event) => this.#checkboxClicked(event));
    this.#body.addEventListener("focusin", (event) => this.#focusMoved(event));
    byId("select-all").addEventListener("change", (event) => this.selection.set(this.shown(), event.target.checked));
    this.selection.onchange = () => this.#showSelection();
    setInterval(() => this.#tick(), 1000);
    store.subscribe((changed, topics) => this.#update(changed, topics));
  }

  /** Puts filter, order and grouping in force after `order` was changed. */
  reorder() {
    this.#rearrange();
    this.#showSorting();
  }

  /** The namespecs that the filter lets through, in their order. */
  shown() {
    return this.#shown.map(({ namespec }) => namespec);
  }

  /** The namespecs of a group, shown or not. */
  membersOf(group) {
    const members = [...this.#store.processes.values()].filter((process) => process.group === group);
    return members.map(({ namespec }) => namespec);
  }

  /** Marks the row of the process that is shown in detail; `null` for none. */
  setOpen(namespec) {
    for (const name of [this.#open, namespec]) {
      this.#rows.get(name)?.element.classList.toggle("is-open", name === namespec);
    }
    this.#open = namespec;
  }

  /** The process on whose row the keyboard is, or was last. */
  get current() {
    return this.#current;
  }

  /** Chooses or unchooses the process the keyboard is on. */
  toggleCurrent() {
    if (this.#current === null) return;
    this.selection.toggle(this.#current, !this.selection.has(this.#current), false, this.shown());
  }

  /** Moves the keyboard by so many rows; ±Infinity goes to the last or the first. */
  move(steps) {
    const last = this.#shown.length - 1;
    if (last < 0) return;
    const here = this.#shown.findIndex(({ namespec }) => namespec === this.#current);
    const start = here < 0 && Number.isFinite(steps) ? (steps > 0 ? -1 : last + 1) : here;
    this.focus(this.#shown[Math.min(last, Math.max(0, start + steps))].namespec);
  }

  /** Puts the keyboard on a row. */
  focus(namespec) {
    const place = this.#shown.findIndex((process) => process.namespec === namespec);
    if (place < 0) return;
    if (this.#limit <= place) this.#grow(place + PORTION);
    const { element } = this.#rows.get(namespec);
    element.focus({ preventScroll: true });
    element.scrollIntoView({ block: "nearest" });
  }

  /** Shows that an action on these is under way, or no longer. */
  setBusy(namespecs, isBusy) {
    for (const namespec of namespecs) {
      const count = (this.#busy.get(namespec) ?? 0) + (isBusy ? 1 : -1);
      if (count > 0) this.#busy.set(namespec, count);
      else this.#busy.delete(namespec);
      this.#rows.get(namespec)?.setBusy(count > 0);
    }
  }

  #makeHead() {
    const cells = COLUMNS.map(({ key, title }) => {
      const sort = () => {
        this.order.sortBy(key);
        this.reorder();
      };
      const button = make("button", { type: "button", title: `Sort by ${title.toLowerCase()}`, click: sort }, title);
      return make("th", { role: "columnheader", scope: "col", class: `cell-${key}`, "data-key": key }, button);
    });
    this.#head.lastElementChild.before(...cells);
    this.#showSorting();
  }

  #showSorting() {
    for (const cell of this.#head.querySelectorAll("[data-key]")) {
      const sorting = this.order.direction > 0 ? "ascending" : "descending";
      setAttribute(cell, "aria-sort", cell.dataset.key === this.order.key ? sorting : null);
    }
  }

  #update(changed, topics) {
    if (!topics.has("set") && !topics.has("state") && !topics.has("usage")) return;
    const now = this.#store.now();
    for (const namespec of changed) {
      const process = this.#store.processes.get(namespec);
      if (process === undefined) this.#forget(namespec);
      else this.#rows.get(namespec)?.update(process, now);
    }
    if (topics.has("set")) this.#rearrange();
    else if (topics.has("state") || this.order.isLive) this.#rearrangeSoon();
  }

  #forget(namespec) {
    this.#rows.delete(namespec);
    this.#busy.delete(namespec);
    if (this.#current === namespec) this.#current = null;
    if (this.selection.has(namespec)) this.selection.set([namespec], false);
  }

  /** Puts rows into their places, but not while somebody is about to press a button in one of them. */
  #rearrangeSoon() {
    if (this.#timer !== null) return;
    const rest = this.#pointerMovedAt + POINTER_REST - performance.now();
    if (rest <= 0 || !this.#body.matches(":hover")) {
      this.#rearrange();
      return;
    }
    this.#showGroups();
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#rearrangeSoon();
    }, rest);
  }

  #rearrange() {
    this.#shown = this.order.apply(this.#store.processes.values());
    this.#showGroups();
    this.#place();
  }

  #place() {
    const focused = document.activeElement;
    arrange(this.#body, this.#elements());
    // An element that was moved has lost the focus.
    if (focused !== document.activeElement && focused.isConnected && document.activeElement === document.body) {
      focused.focus({ preventScroll: true });
    }
    setAttribute(this.#body.parentElement, "aria-rowcount", this.#shown.length + 1);
    this.#keepReachable();
    this.#showSelection();
    if (this.#limit < this.#shown.length) afterNextPicture(() => this.#grow(this.#limit + PORTION));
  }

  /** The rows made so far and the headings between them. */
  #elements() {
    const elements = [];
    let group = null;
    for (const process of this.#shown.slice(0, this.#limit)) {
      const isMember = this.order.isGrouped && this.#needsHeading(process);
      if (isMember && process.group !== group) elements.push(this.#heading(process.group));
      group = process.group;
      const row = this.#row(process);
      row.setMember(isMember);
      elements.push(row.element);
    }
    return elements;
  }

  #grow(limit) {
    if (this.#limit >= this.#shown.length) return;
    this.#limit = limit;
    this.#place();
  }

  #row(process) {
    let row = this.#rows.get(process.namespec);
    if (row === undefined) {
      row = new Row(process);
      row.update(process, this.#store.now());
      row.setBusy(this.#busy.has(process.namespec));
      row.element.classList.toggle("is-open", process.namespec === this.#open);
      this.#rows.set(process.namespec, row);
    }
    return row;
  }

  /** A program alone in a group of its own name is told by its name. */
  #needsHeading({ group, name }) {
    return group !== name || this.#groups.get(group).total > 1;
  }

  #heading(group) {
    let heading = this.#headings.get(group);
    if (heading === undefined) {
      heading = makeHeading(group, (isSelected) => this.selection.set(this.#shownOf(group), isSelected));
      updateHeading(heading, this.#groups.get(group));
      this.#headings.set(group, heading);
    }
    return heading;
  }

  #shownOf(group) {
    return this.#shown.filter((process) => process.group === group).map(({ namespec }) => namespec);
  }

  #showGroups() {
    this.#groups = countGroups(this.#store.processes.values());
    for (const [group, heading] of this.#headings) {
      const counts = this.#groups.get(group);
      if (counts === undefined) this.#headings.delete(group);
      else updateHeading(heading, counts);
    }
  }

  #showSelection() {
    const counts = new Map();
    let selected = 0;
    for (const { namespec, group } of this.#shown) {
      const isSelected = this.selection.has(namespec);
      this.#rows.get(namespec)?.setSelected(isSelected);
      const [chosen, total] = counts.get(group) ?? [0, 0];
      counts.set(group, [chosen + Number(isSelected), total + 1]);
      selected += Number(isSelected);
    }
    showPart(byId("select-all"), selected, this.#shown.length);
    for (const [group, heading] of this.#headings) {
      showPart(heading.querySelector("input"), ...(counts.get(group) ?? [0, 0]));
    }
    this.onchange();
  }

  #checkboxClicked(event) {
    const namespec = event.target.type === "checkbox" && event.target.closest("tr").dataset.namespec;
    if (namespec) this.selection.toggle(namespec, event.target.checked, event.shiftKey, this.shown());
  }

  #focusMoved(event) {
    const row = event.target.closest("tr.process");
    if (row === null) return;
    this.#current = row.dataset.namespec;
    this.#keepReachable();
  }

  /** Exactly one row is on the way of the Tab key; the arrow keys lead on from there. */
  #keepReachable() {
    const reachable = this.#rows.get(this.#current)?.element ?? this.#rows.get(this.#shown[0]?.namespec)?.element;
    const former = this.#body.querySelector('tr.process[tabindex="0"]');
    if (former === reachable) return;
    if (former !== null) setReachable(former, false);
    if (reachable) setReachable(reachable, true);
  }

  #tick() {
    if (document.hidden) return;
    const now = this.#store.now();
    for (const row of this.#rows.values()) row.tick(now);
  }
}

/** Whatever was made until now is to be seen before more is made. */
function afterNextPicture(work) {
  requestAnimationFrame(() => setTimeout(work, 0));
}

/** A row, and what can be pressed in it. */
function setReachable(row, isReachable) {
  for (const element of [row, ...row.querySelectorAll("a, button, input")]) element.tabIndex = isReachable ? 0 : -1;
}

/** A box that stands for many: all, none, or some of them. */
function showPart(checkbox, selected, total) {
  checkbox.checked = total > 0 && selected === total;
  checkbox.indeterminate = selected > 0 && selected < total;
}
