/** Which processes are shown, and in which order; remembered by the browser. */

import { COLUMNS, comparison } from "./columns.js";
import { remember, remembered } from "./settings.js";

export class Order {
  /** Only processes in this state; `null` for all. */
  state = null;
  key = remembered("sort", "name");
  /** 1 upwards, -1 downwards. */
  direction = remembered("direction", "1") === "-1" ? -1 : 1;
  #isGrouped = remembered("grouped", "yes") === "yes";
  #words = [];

  /** Whether the processes of a group stand together. */
  get isGrouped() {
    return this.#isGrouped;
  }

  set isGrouped(isGrouped) {
    this.#isGrouped = isGrouped;
    remember("grouped", isGrouped ? null : "no");
  }

  /** Whether the samples that arrive all the time change the order. */
  get isLive() {
    return COLUMNS.find(({ key }) => key === this.key)?.live === true;
  }

  /** Sorts by a column; once more turns it around. */
  sortBy(key) {
    const column = COLUMNS.find((candidate) => candidate.key === key);
    this.direction = this.key === key ? -this.direction : column.first;
    this.key = key;
    remember("sort", key);
    remember("direction", String(this.direction));
  }

  /** Only processes of which every word of `text` is found in name, state or pid. */
  setFilter(text) {
    this.#words = text.toLowerCase().split(/\s+/).filter((word) => word !== "");
  }

  /** Whether there is a filter of any kind. */
  get isFiltering() {
    return this.#words.length > 0 || this.state !== null;
  }

  /**
   * @param {Iterable<import("./wire.js").Process>} processes
   * @returns {import("./wire.js").Process[]}
   */
  apply(processes) {
    const sorted = [...processes].filter((process) => this.#lets(process)).sort(comparison(this.key, this.direction));
    if (!this.isGrouped) return sorted;
    // A group stands where its first process would.
    const groups = new Map();
    for (const process of sorted) {
      const members = groups.get(process.group);
      if (members === undefined) groups.set(process.group, [process]);
      else members.push(process);
    }
    return [...groups.values()].flat();
  }

  #lets(process) {
    if (this.state !== null && process.state !== this.state) return false;
    if (this.#words.length === 0) return true;
    const text = `${process.namespec} ${process.state} ${process.pid ?? ""}`.toLowerCase();
    return this.#words.every((word) => text.includes(word));
  }
}
