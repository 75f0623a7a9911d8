/** Whose log the log view shows, and what can be done to it as a whole. */

import { ApiError, addressInApi, change, pathOf } from "./api.js";
import { confirm } from "./dialogs.js";
import { byId, make, setText } from "./dom.js";
import { LogView } from "./logview.js";
import { tell } from "./notices.js";
import { addressOf } from "./router.js";
import { visibleText } from "./text.js";

export class LogPage {
  view = new LogView();

  #processes;
  /** The process whose log is shown; `null` for the activity log. */
  #namespec = null;

  /**
   * @param {import("./store.js").Store} store
   * @param {import("./processview.js").ProcessView} processes
   */
  constructor(store, processes) {
    this.#processes = processes;
    byId("log-clear").addEventListener("click", () => this.clear());
    store.subscribe((changed, topics) => {
      const isBack = topics.has("connection") && store.connection.state === "live";
      // A log that was not there may be now.
      if (isBack || changed.has(this.#namespec)) this.view.retry();
    });
  }

  openActivity() {
    this.#namespec = null;
    setText(byId("log-name"), "Activity log");
    byId("log-streams").replaceChildren();
    this.view.open({ path: "log", hasLevels: true, download: addressInApi("log/download") });
  }

  openProcess(namespec, stream) {
    this.#namespec = namespec;
    setText(byId("log-name"), visibleText(namespec));
    const link = (name) => make("a", { href: addressOf("log", namespec, name), class: "button", "aria-current": name === stream && "true" }, name);
    const back = make("a", { href: addressOf("process", namespec), class: "button" }, "details");
    byId("log-streams").replaceChildren(link("stdout"), link("stderr"), back);
    const path = `${pathOf(namespec)}/logs/${stream}`;
    this.view.open({ path, download: addressInApi(`${path}/download`) });
  }

  close() {
    this.#namespec = null;
    this.view.close();
  }

  /** Empties what is shown, after a question. */
  async clear() {
    if (this.#namespec !== null) {
      await this.#processes.act("clear", this.#namespec);
      return;
    }
    const text = "What is in the activity log now will be deleted. This cannot be undone.";
    if (!(await confirm({ title: "Clear the activity log?", text, verb: "Clear log" }))) return;
    try {
      await change("log/clear");
      tell("success", "Activity log cleared");
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      tell("failure", "Could not clear the activity log", [error.message]);
    }
  }
}
