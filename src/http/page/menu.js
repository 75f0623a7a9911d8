/** A menu below a button: one for the whole page, filled when it is opened. */

import { make } from "./dom.js";

let menu = null;
let opener = null;

/**
 * Opens the menu below `button`.
 *
 * @param {HTMLElement} button
 * @param {string} label
 * @param {Array<{text: string, run: () => void, danger?: boolean}|null>} items  `null` is a line between two of them
 */
export function openMenu(button, label, items) {
  closeMenu(false);
  opener = button;
  const entries = items.map((item) => {
    if (item === null) return make("hr", {});
    const press = () => {
      closeMenu();
      item.run();
    };
    const { text, danger } = item;
    return make("button", { type: "button", role: "menuitem", class: danger && "danger-text", tabindex: -1, click: press }, text);
  });
  menu = make("div", { class: "menu", role: "menu", "aria-label": label, keydown: moveInMenu }, ...entries);
  document.body.append(menu);
  button.setAttribute("aria-expanded", "true");
  placeBelow(button);
  menu.querySelector("button").focus();
  addEventListener("pointerdown", pressedElsewhere, true);
  addEventListener("scroll", scrolledElsewhere, true);
}

/** Closes the menu and goes back to where it was opened from; `false` if there is none. */
export function closeMenu(goBack = true) {
  if (menu === null) return false;
  removeEventListener("pointerdown", pressedElsewhere, true);
  removeEventListener("scroll", scrolledElsewhere, true);
  menu.remove();
  opener.removeAttribute("aria-expanded");
  if (goBack && opener.isConnected) opener.focus({ preventScroll: true });
  menu = null;
  opener = null;
  return true;
}

/** Within the window, above the button if there is no room below. */
function placeBelow(button) {
  const from = button.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = menu;
  const below = from.bottom + 4;
  const top = below + height > innerHeight - 8 ? Math.max(8, from.top - height - 4) : below;
  const left = Math.max(8, Math.min(from.right - width, innerWidth - width - 8));
  menu.style.setProperty("top", `${top}px`);
  menu.style.setProperty("left", `${left}px`);
}

function pressedElsewhere(event) {
  if (!menu.contains(event.target) && !opener.contains(event.target)) closeMenu(false);
}

function scrolledElsewhere(event) {
  if (event.target !== menu) closeMenu(false);
}

function moveInMenu(event) {
  const items = [...menu.querySelectorAll("button")];
  const here = items.indexOf(document.activeElement);
  const target = { ArrowDown: here + 1, ArrowUp: here - 1, Home: 0, End: items.length - 1 }[event.key];
  if (target !== undefined) items.at(target % items.length).focus();
  else if (event.key === "Escape" || event.key === "Tab") closeMenu();
  else return;
  event.preventDefault();
  event.stopPropagation();
}
