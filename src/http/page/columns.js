/** The columns of the table: what stands in them, and how they sort. */

import * as format from "./format.js";
import { compareStates } from "./states.js";

const byName = new Intl.Collator("en", { numeric: true }).compare;

/** Nothing there comes last in both directions. */
const byNumber = (value) => (one, other) => {
  const [a, b] = [value(one), value(other)];
  if (a === null || b === null) return a === b ? 0 : a === null ? Infinity : -Infinity;
  return a - b;
};

/**
 * `key` names the column in the address and in classes. `first` is the direction of the first click: 1 upwards, -1
 * downwards. `live` columns change all the time; sorting by them follows the samples.
 */
export const COLUMNS = [
  { key: "name", title: "Name", first: 1, compare: (one, other) => byName(one.namespec, other.namespec) },
  { key: "state", title: "State", first: 1, compare: (one, other) => compareStates(one.state, other.state) },
  { key: "uptime", title: "Uptime", first: -1, numeric: true, compare: byNumber((process) => process.startedAt === null ? null : -process.startedAt) },
  { key: "pid", title: "PID", first: 1, numeric: true, compare: byNumber((process) => process.pid) },
  { key: "cpu", title: "CPU", first: -1, numeric: true, live: true, compare: byNumber((process) => process.cpu) },
  { key: "memory", title: "Memory", first: -1, numeric: true, live: true, compare: byNumber((process) => process.memory) },
  { key: "restarts", title: "Restarts", first: -1, numeric: true, compare: byNumber((process) => process.restarts) },
  { key: "exit", title: "Last exit", first: -1, compare: byNumber((process) => process.exit?.at ?? null) },
];

/** What compares two processes for a column and a direction; equal ones stand in the order of their names. */
export function comparison(key, direction) {
  const column = COLUMNS.find((candidate) => candidate.key === key) ?? COLUMNS[0];
  return (one, other) => {
    const order = column.compare(one, other);
    if (order === Infinity || order === -Infinity) return Math.sign(order);
    return order * direction || byName(one.namespec, other.namespec);
  };
}

/** The uptime as it stands in the table. */
export function uptimeText(process, now) {
  return process.startedAt === null ? "" : format.duration((now - process.startedAt) / 1000);
}

/** The last exit in a few words: `exit 1 · 12:03`. */
export function exitText(process, now) {
  if (process.exit === null) return "";
  const at = process.exit.at === null ? "" : ` · ${format.shortWhen(process.exit.at, now)}`;
  return `${process.exit.short}${at}`;
}
