/**
 * The one connection over which the daemon tells what happens. It is made again when it breaks, and given back while
 * nobody looks: a browser has only six connections for all its tabs.
 */

import { addressInApi, readJson } from "./api.js";
import { toChange, toDaemon, toProcess } from "./wire.js";

/** After this long in the background the connection is given back, in milliseconds. */
const PATIENCE_IN_BACKGROUND = 10_000;

/** The browser gives up when the answer is an error; then we try again after this long, in milliseconds. */
const RETRY = 2000;

/** The states of the daemon after which it is no wonder that the connection ends. */
const ENDING = { SHUTDOWN: "stopped", RESTARTING: "restarting" };

export class Feed {
  #store;
  #source = null;
  #timer = null;

  /** @param {import("./store.js").Store} store */
  constructor(store) {
    this.#store = store;
    document.addEventListener("visibilitychange", () => this.#visibilityChanged());
    this.#open();
  }

  #open() {
    clearTimeout(this.#timer);
    this.#source?.close();
    const source = new EventSource(addressInApi("events"));
    const on = (name, take) => source.addEventListener(name, (event) => take(JSON.parse(event.data)));
    on("snapshot", (snapshot) => this.#takeSnapshot(snapshot));
    on("change", (change) => {
      this.#store.put(toProcess(change.row));
      this.#store.addChanges([toChange(change)]);
    });
    on("process", ({ row }) => this.#store.put(toProcess(row)));
    on("removed", ({ namespec }) => this.#store.remove(namespec));
    on("daemon", ({ daemon }) => this.#store.setDaemon(toDaemon(daemon)));
    on("usage", ({ usage }) => {
      this.#store.use(usage.map((used) => [used.namespec, used.cpu_percent, used.memory_bytes]));
    });
    source.addEventListener("open", () => this.#store.setConnection("live"));
    source.addEventListener("error", () => this.#broken(source));
    this.#source = source;
  }

  #takeSnapshot({ now, daemon, processes }) {
    // The daemon's clock counts whole seconds here: half a second is the likeliest remainder.
    const offset = now * 1000 + 500 - Date.now();
    this.#store.clockOffset = Math.abs(offset) < 2000 ? 0 : offset;
    this.#store.setDaemon(toDaemon(daemon));
    this.#store.replaceAll(processes.map(toProcess));
    this.#readTimeline();
  }

  async #readTimeline() {
    try {
      const { changes } = await readJson("timeline");
      this.#store.replaceChanges(changes.map(toChange).reverse());
    } catch {
      // The table is there; the timeline fills with what happens from now on.
    }
  }

  #broken(source) {
    this.#store.setConnection(ENDING[this.#store.daemon?.state] ?? "lost");
    if (source.readyState !== EventSource.CLOSED) return;
    this.#explain();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#open(), RETRY);
  }

  /** The browser keeps to itself what was answered instead of events; asking for something else tells. */
  async #explain() {
    try {
      await readJson("daemon");
    } catch (error) {
      if (error.status > 0) this.#store.explainConnection(error.message);
    }
  }

  #visibilityChanged() {
    clearTimeout(this.#timer);
    if (!document.hidden) {
      if (this.#source === null || this.#source.readyState === EventSource.CLOSED) this.#open();
      return;
    }
    this.#timer = setTimeout(() => {
      this.#source?.close();
      this.#source = null;
    }, PATIENCE_IN_BACKGROUND);
  }
}
