/** Dark and light: as the system prefers, until somebody chooses. `theme-early.js` puts the choice in force. */

import { remember } from "./settings.js";
import { setAttribute } from "./dom.js";

const system = matchMedia("(prefers-color-scheme: dark)");

const current = () => document.documentElement.dataset.theme ?? (system.matches ? "dark" : "light");

/** Goes to the other theme and remembers that; back at what the system prefers, nothing is left to remember. */
export function switchTheme() {
  const wanted = current() === "dark" ? "light" : "dark";
  const preferred = system.matches ? "dark" : "light";
  document.documentElement.dataset.theme = wanted;
  remember("theme", wanted === preferred ? null : wanted);
  if (wanted === preferred) delete document.documentElement.dataset.theme;
  document.dispatchEvent(new Event("themechange"));
}

/** Lets a button switch the theme and say what it would do. */
export function bindThemeButton(button) {
  const label = () => {
    const text = current() === "dark" ? "Switch to the light theme" : "Switch to the dark theme";
    setAttribute(button, "aria-label", text);
    setAttribute(button, "title", `${text} (d)`);
  };
  button.addEventListener("click", switchTheme);
  document.addEventListener("themechange", label);
  system.addEventListener("change", label);
  label();
}
