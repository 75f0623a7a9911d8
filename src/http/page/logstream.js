/** The connection over which a log comes. It goes on where it was after a pause or a break: the daemon numbers bytes. */

import { addressInApi, readJson } from "./api.js";
import { fromBase64, fromUtf8 } from "./text.js";

/**
 * @typedef {Object} Log
 * @property {string} path  of the log in the API, `processes/…/logs/stdout` or `log`
 * @property {string} download  the address of the whole
 * @property {boolean} [hasLevels]  whether it is the activity log
 */

export class LogStream {
  /** How many bytes from the end it began. */
  tail;

  #path;
  #listener;
  #source = null;
  /** How far it has come, in the daemon's words. */
  #place = null;
  #isPaused = false;
  #isBroken = false;

  /**
   * @param {string} path
   * @param {number} tail  how many bytes from the end to begin
   * @param {{ontext: (text: string) => void, onremark: (text: string) => void, onstatus: (text: string) => void,
   *   onbegin: (offset: number) => void}} listener
   */
  constructor(path, tail, listener) {
    this.#path = path;
    this.tail = tail;
    this.#listener = listener;
    this.#open();
  }

  pause() {
    this.#isPaused = true;
    this.close();
    this.#listener.onstatus("Paused. What is written meanwhile comes when you resume.");
  }

  resume() {
    this.#isPaused = false;
    this.#open();
  }

  /** Tries once more if there was nothing to follow. */
  retry() {
    if (this.#isBroken && !this.#isPaused) this.#open();
  }

  close() {
    this.#source?.close();
    this.#source = null;
  }

  #open() {
    this.close();
    this.#isBroken = false;
    const query = this.#place === null ? { tail: this.tail } : { tail: this.tail, after: this.#place };
    const source = new EventSource(addressInApi(`${this.#path}/follow`, query));
    const on = (name, take) => source.addEventListener(name, (event) => {
      if (source !== this.#source) return;
      take(JSON.parse(event.data));
      this.#place = event.lastEventId;
    });
    on("begin", ({ offset, resumed }) => this.#begin(offset, resumed));
    on("data", (data) => this.#listener.ontext(data.text ?? fromUtf8(fromBase64(data.base64))));
    on("truncated", () => this.#listener.onremark("The log was cleared or rotated here."));
    source.addEventListener("error", () => this.#broken(source));
    this.#source = source;
  }

  #begin(offset, isResumed) {
    this.#listener.onstatus("Following.");
    if (this.#place === null) this.#listener.onbegin(offset);
    else if (!isResumed) this.#listener.onremark("Part of the log was missed here: it was rotated or cleared meanwhile.");
  }

  /** The browser tries again by itself, except after an answer that says no. */
  #broken(source) {
    if (source !== this.#source) return;
    if (source.readyState !== EventSource.CLOSED) {
      this.#listener.onstatus("Connection lost; trying again.");
      return;
    }
    this.#isBroken = true;
    this.#explain();
  }

  async #explain() {
    const isStill = () => this.#isBroken && !this.#isPaused;
    try {
      await readJson(this.#path, { length: 0 });
    } catch (error) {
      // What is there is no JSON, so this is where every answer ends.
      if (isStill()) this.#listener.onstatus(error.status === 404 ? "There is no such log, or nothing was written to it yet." : `${error.message}.`);
    }
  }
}
