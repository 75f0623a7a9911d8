/** What a process depends on and who depends on it, as lists beside its other facts. */

import { make, setText } from "./dom.js";
import * as format from "./format.js";
import { addressOf } from "./router.js";
import { stateClass } from "./states.js";
import { visibleText } from "./text.js";

/** Processes named for each item; the rest is counted. */
const MOST_NAMED = 20;

const VERDICTS = { met: "holds", unmet: "does not hold yet", failed: "will not hold by itself" };

/** The namespecs of those that depend directly on a process. */
export function dependentsOf(store, namespec) {
  const dependents = [];
  for (const { namespec: name, life } of store.processes.values()) {
    if (life?.needs.some(({ names }) => names.includes(namespec))) dependents.push(name);
  }
  return dependents;
}

/**
 * The lists for one process. `update` shows what it depends on now, `tick` lets the time in them go on.
 *
 * @param {import("./store.js").Store} store
 * @param {string} namespec
 */
export function makeNeeds(store, namespec) {
  const items = make("ul", {});
  const needs = make("div", {}, make("h3", {}, "Depends on"), items);
  const names = make("ul", {});
  const dependents = make("div", {}, make("h3", {}, "Needed by"), names);
  const picture = make("a", { href: addressOf("dependencies", namespec), class: "button" }, "Show as a picture");
  const element = make("div", { class: "needs", hidden: true }, needs, dependents, picture);
  let shape = null;
  /** What changes without a change of the configuration: `update` functions. */
  let parts = [];

  function build(wanted, needing) {
    parts = [];
    items.replaceChildren(...wanted.map((need, index) => makeItem(store, namespec, need, index, parts)));
    names.replaceChildren(...makeNames(store, needing, parts));
    needs.hidden = wanted.length === 0;
    dependents.hidden = needing.length === 0;
    element.hidden = needs.hidden && dependents.hidden;
  }

  function update() {
    const wanted = store.processes.get(namespec)?.life?.needs ?? [];
    const needing = dependentsOf(store, namespec);
    const now = JSON.stringify([wanted.map(({ text, names: meant }) => [text, meant]), needing]);
    if (now !== shape) build(wanted, needing);
    shape = now;
    tick();
  }

  const tick = () => parts.forEach((part) => part());
  return { element, update, tick };
}

/** One item of `depends_on`, with the processes it stands for. */
function makeItem(store, namespec, need, index, parts) {
  const verdict = make("span", {});
  parts.push(() => {
    const current = store.processes.get(namespec)?.life?.needs[index]?.verdict ?? need.verdict;
    verdict.className = `verdict is-${current}`;
    setText(verdict, VERDICTS[current]);
  });
  const soft = need.isSoft && make("span", { class: "hint" }, "only the order matters");
  const none = need.names.length === 0 && make("li", { class: "hint" }, "nobody of this name is there");
  return make(
    "li",
    {},
    make("div", { class: "need" }, make("code", {}, visibleText(need.text)), verdict, soft),
    make("ul", {}, none, ...makeNames(store, need.names, parts)),
  );
}

/** Lines with the state of each process, and what will happen to it by itself. */
function makeNames(store, names, parts) {
  const lines = names.slice(0, MOST_NAMED).map((name) => {
    const state = make("span", {});
    const next = make("span", { class: "hint" });
    parts.push(() => {
      const process = store.processes.get(name);
      state.className = stateClass(process?.state);
      setText(state, process?.state ?? "NOT THERE");
      setText(next, process === undefined || process.state === "RUNNING" ? "" : format.comingNext(process.next, store.now()));
    });
    return make("li", { class: "needed" }, make("a", { href: addressOf("process", name) }, visibleText(name)), state, next);
  });
  if (names.length > MOST_NAMED) lines.push(make("li", { class: "hint" }, `and ${names.length - MOST_NAMED} more`));
  return lines;
}
