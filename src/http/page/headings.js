/** The rows above the processes of a group. */

import { make, setText } from "./dom.js";
import { plural } from "./format.js";
import { isTrouble } from "./states.js";
import { visibleText } from "./text.js";

/**
 * @param {string} group
 * @param {(isSelected: boolean) => void} onselect
 */
export function makeHeading(group, onselect) {
  const name = visibleText(group);
  const checkbox = make("input", {
    type: "checkbox", "aria-label": `Select group ${name}`, change: () => onselect(checkbox.checked),
  });
  const button = (action, text, label) =>
    make("button", { type: "button", "data-action": action, "aria-label": `${label} group ${name}` }, text);
  const heading = make(
    "tr",
    { role: "row", class: "group" },
    make("td", { role: "cell", class: "cell-select" }, checkbox),
    make(
      "th",
      { role: "rowheader", scope: "row", class: "cell-group" },
      make("span", { class: "group-name", title: name }, name),
      make("span", { class: "group-count" }),
      make("span", { class: "group-trouble" }),
    ),
    make(
      "td",
      { role: "cell", class: "cell-actions" },
      button("start", "Start", "Start"),
      button("stop", "Stop", "Stop"),
      button("restart", "Restart", "Restart"),
      button("more", "⋯", "More for"),
    ),
  );
  heading.dataset.group = group;
  return heading;
}

/** Shows how many of a group's processes run, and how many are in trouble. */
export function updateHeading(heading, { total, running, trouble }) {
  setText(heading.querySelector(".group-count"), `${running} of ${plural(total, "process", "processes")} running`);
  setText(heading.querySelector(".group-trouble"), trouble === 0 ? "" : `${trouble} in trouble`);
}

/** Counts by group. */
export function countGroups(processes) {
  const groups = new Map();
  for (const process of processes) {
    const { group, state } = process;
    let counts = groups.get(group);
    if (counts === undefined) groups.set(group, (counts = { total: 0, running: 0, trouble: 0 }));
    counts.total += 1;
    if (state === "RUNNING") counts.running += 1;
    if (isTrouble(process)) counts.trouble += 1;
  }
  return groups;
}
