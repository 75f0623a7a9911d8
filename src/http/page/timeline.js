/** The last changes of state, the latest first. */

import { make, setText } from "./dom.js";
import * as format from "./format.js";
import { addressOf } from "./router.js";
import { stateClass } from "./states.js";
import { visibleText } from "./text.js";

/** A list that shows the changes `accepts` lets through, at most `most` of them. */
export function makeTimeline(store, { most, accepts = () => true, withNames = true }) {
  const list = make("ol", { class: "timeline" });
  const empty = make("p", { class: "empty" }, "No change yet.");
  const element = make("div", {}, list, empty);
  /** Entries by what they show, so that those which stay are not made again. */
  let entries = new Map();

  function update() {
    const wanted = store.changes.filter(accepts).slice(0, most);
    const next = new Map();
    for (const change of wanted) next.set(change, entries.get(change) ?? entry(change, store.now(), withNames));
    for (const [change, item] of entries) if (!next.has(change)) item.remove();
    let before = list.firstChild;
    for (const item of next.values()) {
      if (item === before) before = before.nextSibling;
      else list.insertBefore(item, before);
    }
    entries = next;
    empty.hidden = wanted.length > 0;
  }

  store.subscribe((_, topics) => {
    if (topics.has("changes")) update();
  });
  update();
  return { element, update };
}

function entry(change, now, withNames) {
  const name = visibleText(change.namespec);
  const time = make("time", { datetime: new Date(change.at).toISOString(), title: format.moment(change.at) });
  setText(time, format.when(change.at, now));
  return make(
    "li",
    {},
    time,
    withNames && make("a", { href: addressOf("process", change.namespec), title: name }, name),
    make(
      "span",
      { class: "change", title: `${change.from} → ${change.to}` },
      make("span", { class: stateClass(change.to) }, change.to),
      visibleText(change.note),
    ),
  );
}
