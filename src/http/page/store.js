/**
 * What the page knows about the daemon and its processes. The feed writes it; views read it and are told what changed,
 * once per picture and not once per message.
 */

import { oncePerFrame } from "./dom.js";

/** Changes kept for the timeline; the oldest go. */
const MOST_CHANGES = 300;

export class Store {
  /** @type {Map<string, import("./wire.js").Process>} by namespec */
  processes = new Map();
  /** @type {Array<import("./wire.js").Change>} the latest first */
  changes = [];
  /** @type {import("./wire.js").Daemon|null} */
  daemon = null;
  /** "connecting", "live", "lost" or "stopped", since when in milliseconds, and why if the daemon says so. */
  connection = { state: "connecting", since: Date.now(), why: "" };
  /** How far the daemon's clock is ahead of the browser's, in milliseconds. */
  clockOffset = 0;

  #listeners = [];
  #changed = new Set();
  #changedTopics = new Set();
  #publish = oncePerFrame(() => this.#tellListeners());

  /** The daemon's time, in milliseconds. */
  now() {
    return Date.now() + this.clockOffset;
  }

  /**
   * Tells `listener` what changed from now on: the namespecs, and which of "set" (processes came or went),
   * "state", "usage", "changes", "daemon", "connection".
   *
   * @param {(changed: Set<string>, topics: Set<string>) => void} listener
   */
  subscribe(listener) {
    this.#listeners.push(listener);
  }

  /** Replaces everything by what the daemon says now. */
  replaceAll(processes) {
    const before = this.processes;
    this.processes = new Map(processes.map((process) => [process.namespec, process]));
    for (const namespec of before.keys()) this.#changed.add(namespec);
    for (const namespec of this.processes.keys()) this.#changed.add(namespec);
    this.#note("set", "state", "usage");
  }

  /** Takes over one process, known or new. */
  put(process) {
    const known = this.processes.has(process.namespec);
    this.processes.set(process.namespec, process);
    this.#changed.add(process.namespec);
    this.#note(known ? "state" : "set");
  }

  remove(namespec) {
    if (!this.processes.delete(namespec)) return;
    this.#changed.add(namespec);
    this.#note("set");
  }

  /** Takes over what some processes use: `[namespec, cpu, memory]` each. */
  use(samples) {
    for (const [namespec, cpu, memory] of samples) {
      const process = this.processes.get(namespec);
      if (process === undefined || (process.cpu === cpu && process.memory === memory)) continue;
      this.processes.set(namespec, { ...process, cpu, memory });
      this.#changed.add(namespec);
    }
    this.#note("usage");
  }

  /** Adds changes to the timeline, the oldest first. */
  addChanges(changes) {
    this.changes = [...changes].reverse().concat(this.changes).slice(0, MOST_CHANGES);
    this.#note("changes");
  }

  /** Replaces the timeline; the oldest first. */
  replaceChanges(changes) {
    this.changes = [...changes].reverse().slice(0, MOST_CHANGES);
    this.#note("changes");
  }

  setDaemon(daemon) {
    this.daemon = daemon;
    this.#note("daemon");
  }

  setConnection(state) {
    if (state === this.connection.state) return;
    this.connection = { state, since: Date.now(), why: "" };
    this.#note("connection");
  }

  /** Says why there is no connection. */
  explainConnection(why) {
    if (this.connection.state === "live" || this.connection.why === why) return;
    this.connection.why = why;
    this.#note("connection");
  }

  #note(...topics) {
    topics.forEach((topic) => this.#changedTopics.add(topic));
    this.#publish();
  }

  #tellListeners() {
    const [changed, topics] = [this.#changed, this.#changedTopics];
    this.#changed = new Set();
    this.#changedTopics = new Set();
    for (const listener of this.#listeners) listener(changed, topics);
  }
}
