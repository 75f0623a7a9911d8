/**
 * The keyboard. One table says what each key does; the overlay that `?` opens is made from the same table, so that
 * it cannot say anything else.
 */

import { make } from "./dom.js";
import { isAsking, show } from "./dialogs.js";

/**
 * @typedef {Object} Binding
 * @property {string[]} keys  as in `KeyboardEvent.key`
 * @property {string} text  what it does
 * @property {string} where  the heading under which the overlay lists it
 * @property {() => boolean} [when]  whether it applies now; always without it
 * @property {() => (void|boolean)} run  `false` leaves the key to the browser
 */

const NAMES = { " ": "Space", ArrowUp: "↑", ArrowDown: "↓", Escape: "Esc" };

/** @param {Binding[]} bindings  the first that applies wins */
export function listen(bindings) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.defaultPrevented || isAsking()) return;
    if (isTyping(event.target) && event.key !== "Escape") return;
    // On a button, these press it.
    if ((event.key === " " || event.key === "Enter") && event.target.closest("a, button, input, summary")) return;
    const applies = ({ keys, when }) => keys.includes(event.key) && (when === undefined || when());
    const binding = bindings.find(applies);
    if (binding !== undefined && binding.run() !== false) event.preventDefault();
  });
}

/** Opens the overlay. */
export function showKeys(bindings) {
  const sections = new Map();
  for (const binding of bindings) {
    const list = sections.get(binding.where) ?? make("dl", {});
    sections.set(binding.where, list);
    const keys = binding.keys.map((key) => make("kbd", {}, NAMES[key] ?? key));
    list.append(make("div", {}, make("dt", {}, ...keys), make("dd", {}, binding.text)));
  }
  const blocks = [...sections].map(([where, list]) => make("section", {}, make("h3", {}, where), list));
  show("Keyboard", make("div", { class: "keys" }, ...blocks));
}

function isTyping(element) {
  if (element.matches("textarea, select, [contenteditable]")) return true;
  return element.matches("input") && !["checkbox", "radio", "button"].includes(element.type);
}
