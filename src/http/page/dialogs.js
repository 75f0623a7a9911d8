/** Questions to the person in front of the page. */

import { make } from "./dom.js";

/** Names shown in a question before the rest is only counted. */
const NAMES_SHOWN = 12;

/** The signals most asked for, and what they usually mean. */
const SIGNALS = [
  ["HUP", "hang up; many programs read their configuration again"],
  ["INT", "interrupt, as Ctrl-C"],
  ["QUIT", "quit, often with a core dump"],
  ["USR1", "whatever the program makes of it"],
  ["USR2", "whatever the program makes of it"],
  ["TERM", "asks it to end"],
  ["KILL", "ends it at once; it cannot clean up"],
  ["STOP", "pauses it"],
  ["CONT", "lets it go on"],
  ["WINCH", "its terminal has another size"],
];

/**
 * Asks before something is done.
 *
 * @param {{title: string, text?: string, names?: string[], verb: string, danger?: boolean}} question
 * @returns {Promise<boolean>}
 */
export async function confirm({ title, text, names = [], verb, danger = true }) {
  const body = [text && make("p", {}, text), names.length > 0 && nameList(names)];
  return (await ask({ title, body, verb, danger })) !== null;
}

/**
 * Asks which signal to send.
 *
 * @param {string} whom  what the question is about
 * @returns {Promise<string|null>}  its name without SIG, or `null` if nothing is to be sent
 */
export async function askSignal(whom, names = []) {
  const list = make("datalist", { id: "signal-names" });
  for (const [name, meaning] of SIGNALS) list.append(make("option", { value: name }, meaning));
  const input = make("input", {
    name: "signal", list: "signal-names", required: true, autocomplete: "off", spellcheck: "false",
    pattern: "[A-Za-z0-9+\\-]{1,20}", placeholder: "for example HUP", id: "signal-input", maxlength: 20,
  });
  const choices = make("div", { class: "choices" });
  const meaning = make("p", { class: "hint" }, "A name such as HUP, or a number.");
  const explain = () => {
    const known = SIGNALS.find(([name]) => name === input.value.trim().toUpperCase().replace(/^SIG/, ""));
    meaning.textContent = known ? `${known[0]}: ${known[1]}.` : "A name such as HUP, or a number.";
  };
  input.addEventListener("input", explain);
  for (const [name] of SIGNALS.slice(0, 7)) {
    const choose = () => {
      input.value = name;
      explain();
      input.focus();
    };
    choices.append(make("button", { type: "button", class: "chip", click: choose }, name));
  }
  const label = make("label", { for: "signal-input" }, "Signal");
  const body = [names.length > 0 && nameList(names), label, input, list, choices, meaning];
  const form = await ask({ title: `Send a signal to ${whom}`, body, verb: "Send", danger: false, focus: input });
  return form === null ? null : form.get("signal").trim();
}

/**
 * Asks how many processes a program is to have.
 *
 * @param {string} whom  what the question is about
 * @param {{wanted: number, configured: number}} number  how many it has, and how many the files say
 * @returns {Promise<{to: number, save: boolean}|null>}  `null` if it is to stay as it is
 */
export async function askNumber(whom, { wanted, configured }) {
  const input = make("input", {
    name: "to", type: "number", id: "number-input", min: 0, max: 100000, step: 1, required: true, value: wanted,
  });
  const step = (text, name, change) =>
    make("button", { type: "button", class: "chip", "aria-label": name, click: () => (change(), input.focus()) }, text);
  const choices = make("div", { class: "choices" }, step("−", "One less", () => input.stepDown()), step("+", "One more", () => input.stepUp()));
  const save = make("input", { type: "checkbox", name: "save", id: "number-save" });
  const body = [
    make("label", { for: "number-input" }, "Processes"), input, choices,
    make("p", { class: "hint" }, `The configuration says ${configured}. The highest numbers stop first.`),
    make("label", { for: "number-save" }, save, " Keep it beyond the daemon's end"),
  ];
  const form = await ask({ title: `How many processes of ${whom}?`, body, verb: "Scale", danger: false, focus: input });
  return form === null ? null : { to: Number(form.get("to")), save: form.get("save") !== null };
}

/** Shows something that needs no answer. */
export async function show(title, body) {
  await ask({ title, body: [body], verb: null });
}

/** Whether a question is on the screen. */
export function isAsking() {
  return document.querySelector("dialog[open]") !== null;
}

function nameList(names) {
  const list = make("ul", { class: "names" });
  for (const name of names.slice(0, NAMES_SHOWN)) list.append(make("li", {}, name));
  if (names.length > NAMES_SHOWN) {
    list.append(make("li", { class: "hint" }, `and ${names.length - NAMES_SHOWN} more`));
  }
  return list;
}

/** One question at a time: what the form contains, or `null` if the answer is no. */
function ask({ title, body, verb, danger, focus }) {
  if (isAsking()) return Promise.resolve(null);
  return new Promise((resolve) => {
    const no = make("button", { type: "button", click: () => dialog.close() }, verb === null ? "Close" : "Cancel");
    const yes = verb !== null && make("button", { type: "submit", class: danger ? "danger" : "primary" }, verb);
    const heading = make("h2", { id: "dialog-title" }, title);
    const form = make("form", { method: "dialog" }, heading, ...body, make("div", { class: "buttons" }, no, yes));
    const dialog = make("dialog", { "aria-labelledby": "dialog-title" }, form);
    let answer = null;
    form.addEventListener("submit", () => {
      answer = new FormData(form);
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(answer);
    });
    document.body.append(dialog);
    dialog.showModal();
    // Whoever presses Enter by mistake has done nothing.
    (focus ?? no).focus({ preventScroll: true });
  });
}
