/** The view of the configuration: what is in force and where it comes from, and what reading it again would change. */

import { ApiError, change, readJson } from "./api.js";
import { confirm } from "./dialogs.js";
import { byId, make, setText } from "./dom.js";
import { plural } from "./format.js";
import { tell } from "./notices.js";
import { remember, remembered } from "./settings.js";
import { visibleText } from "./text.js";

export class ConfigView {
  /** Settings as the daemon says them. */
  #settings = [];
  #differences = null;
  #isOpen = false;

  constructor() {
    byId("config-filter").addEventListener("input", () => this.#filter());
    const withoutDefaults = byId("config-set");
    withoutDefaults.checked = remembered("config-set", "yes") === "yes";
    withoutDefaults.addEventListener("change", () => {
      remember("config-set", withoutDefaults.checked ? "yes" : "no");
      this.#filter();
    });
    byId("reread").addEventListener("click", () => this.refresh());
    byId("update").addEventListener("click", () => this.update());
  }

  open() {
    if (this.#isOpen) return;
    this.#isOpen = true;
    this.refresh();
  }

  close() {
    this.#isOpen = false;
  }

  /** Reads everything anew. */
  async refresh() {
    await Promise.all([this.#readSettings(), this.#readDifferences()]);
  }

  /** Lets the daemon take over what has changed, after a question. */
  async update() {
    const differences = this.#differences;
    if (differences === null || isEmpty(differences)) return;
    const names = differences.groups.flatMap(changeLines);
    const text = "What differs is touched, and nothing else. Everything that is not named here goes on as it is.";
    if (!(await confirm({ title: "Take over the configuration?", text, names: names.map(visibleText), verb: "Update" }))) return;
    byId("update").disabled = true;
    try {
      const done = await change("update");
      const lines = ["added", "changed", "removed"].flatMap((what) => done[what].map((name) => visibleText(`${name}: ${what}`)));
      tell("success", "Configuration taken over", lines);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      tell("failure", "The configuration was not taken over", [error.message]);
    }
    await this.refresh();
  }

  async #readDifferences() {
    const result = byId("reread-result");
    byId("update").disabled = true;
    this.#differences = null;
    try {
      this.#differences = await readJson("reread");
      byId("update").disabled = isEmpty(this.#differences);
      result.replaceChildren(differenceList(this.#differences));
    } catch (error) {
      result.replaceChildren(problem("The configuration cannot be taken over as it is:", error));
    }
  }

  async #readSettings() {
    try {
      this.#settings = (await readJson("config")).settings;
    } catch (error) {
      byId("settings").replaceChildren(problem("The configuration cannot be shown:", error));
      return;
    }
    this.#show();
  }

  #show() {
    const sections = new Map();
    for (const setting of this.#settings) {
      const list = sections.get(setting.section) ?? [];
      sections.set(setting.section, list);
      list.push(setting);
    }
    const cards = [...sections].map(([section, settings]) => {
      const list = make("dl", {}, ...settings.map(settingRow));
      return make("section", { class: "card" }, make("header", {}, make("h3", {}, `[${visibleText(section)}]`)), list);
    });
    byId("settings").replaceChildren(...cards);
    this.#filter();
  }

  #filter() {
    const words = byId("config-filter").value.toLowerCase().split(/\s+/).filter((word) => word !== "");
    const withoutDefaults = byId("config-set").checked;
    let shown = 0;
    for (const card of byId("settings").querySelectorAll(".card")) {
      let shownHere = 0;
      for (const row of card.querySelectorAll(".setting")) {
        const text = `${card.firstChild.textContent} ${row.textContent}`.toLowerCase();
        const isDefault = row.classList.contains("is-default");
        row.hidden = (withoutDefaults && isDefault) || !words.every((word) => text.includes(word));
        shownHere += Number(!row.hidden);
      }
      card.hidden = shownHere === 0;
      shown += shownHere;
    }
    byId("no-settings").hidden = shown > 0;
    setText(byId("config-file"), plural(shown, "setting"));
  }
}

function isEmpty({ added, changed, removed }) {
  return added.length + changed.length + removed.length === 0;
}

function differenceList(differences) {
  if (isEmpty(differences)) return make("p", { class: "hint" }, "Nothing: the file says what is in force.");
  const lines = new Map(differences.groups.map((group) => [group.name, changeLines(group)]));
  const details = (name) => (lines.get(name) ?? []).map((line) => make("li", {}, visibleText(line)));
  const item = (what, name) =>
    make(
      "li",
      { class: "difference" },
      make("span", { class: `what what-${what}` }, what),
      make("span", { class: "who" }, visibleText(name)),
      ...(what === "changed" ? [make("ul", { class: "changes" }, ...details(name))] : []),
    );
  const items = ["added", "changed", "removed"].flatMap((what) => differences[what].map((name) => item(what, name)));
  return make("ul", {}, ...items);
}

/** What an update does, in words: a line for a group as a whole, or one for each of its processes. */
function changeLines({ name: group, action, keys, processes }) {
  const because = (list) => (list.length === 0 ? "" : ` (${list.join(", ")})`);
  if (action === "add") return [`add ${group} and start it`];
  if (action === "remove") return [`stop and remove ${group}`];
  if (action === "replace") return [`stop ${group} and start it anew${because(keys)}`];
  const words = { remove: "stop and remove", restart: "restart", apply: "change without a restart", add: "add" };
  const name = (process) => (process.name === group ? group : `${group}:${process.name}`);
  const ofGroup = keys.length === 0 ? [] : [`change ${group} without a restart${because(keys)}`];
  return [...ofGroup, ...processes.map((process) => `${words[process.action]} ${name(process)}${because(process.keys)}`)];
}

function settingRow({ key, value, origin, is_default: isDefault }) {
  const text = value === "" ? "empty" : visibleText(value);
  return make(
    "div",
    { class: isDefault ? "setting is-default" : "setting" },
    make("dt", {}, visibleText(key)),
    make("dd", { class: value === "" ? "value is-empty" : "value" }, text),
    make("dd", { class: "origin" }, visibleText(origin)),
  );
}

function problem(text, error) {
  return make("div", {}, make("p", {}, text), make("p", { class: "problem" }, error.message));
}
