/**
 * What came of an action, in a corner of the page and for screen readers. A success goes away by itself, a failure
 * stays until somebody has seen it.
 */

import { byId, make } from "./dom.js";

/** How long a success is shown, in milliseconds. */
const SHOWN = 6000;

/** More than these are not shown at a time; the oldest goes. */
const MOST = 5;

/**
 * Tells something.
 *
 * @param {"success"|"failure"|"info"} kind
 * @param {string} title
 * @param {string[]} details  one line each
 */
export function tell(kind, title, details = []) {
  const region = byId("notices");
  const close = make("button", { type: "button", class: "quiet", "aria-label": "Dismiss", click: () => notice.remove() }, "×");
  const list = details.length > 0 && make("ul", {}, ...details.map((line) => make("li", {}, line)));
  const word = { success: "Done", failure: "Failed", info: "Note" }[kind];
  const text = make("div", { class: "notice-text" }, make("strong", {}, make("span", { class: "word" }, word), title), list);
  const notice = make("div", { class: `notice ${kind}` }, text, close);
  region.append(notice);
  while (region.childElementCount > MOST) region.firstElementChild.remove();
  if (kind !== "failure") expire(notice);
}

/** Takes a notice away after a while, but not from under the pointer or the focus. */
function expire(notice) {
  setTimeout(() => {
    if (notice.matches(":hover, :focus-within")) expire(notice);
    else notice.remove();
  }, SHOWN);
}

/** Takes the latest notice away; `false` if there is none. */
export function dismissNotice() {
  const latest = byId("notices").lastElementChild;
  latest?.remove();
  return latest !== null;
}
