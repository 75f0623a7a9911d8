/** The view of one log: followed live, paused, searched, downloaded. */

import { byId, oncePerFrame, setAttribute, setText } from "./dom.js";
import * as format from "./format.js";
import { Lines } from "./lines.js";
import { LogSearch } from "./logsearch.js";
import { LogStream } from "./logstream.js";
import { remember, remembered } from "./settings.js";

/** More characters than this waiting to be shown at once are too many to be read: the oldest are left out. */
const MOST_WAITING = 1 << 20;

/** What is shown of a log at first, and at most, in bytes. The daemon does not send more at once. */
const FIRST_TAIL = 64 << 10;
const LONGEST_TAIL = 4 << 20;

/** So close to the end, in pixels, counts as being there. */
const AT_END = 24;

export class LogView {
  /** The log shown, or `null`. */
  log = null;

  #box = byId("log");
  #lines = new Lines(byId("log-lines"));
  #search = new LogSearch(this.#lines);
  #stream = null;
  #isPaused = false;
  #waiting = "";
  #skipped = 0;
  #isAtEnd = true;
  #show = oncePerFrame(() => this.#flush());

  constructor() {
    this.#lines.online = (line) => this.#search.examine(line);
    this.#box.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    byId("log-pause").addEventListener("click", () => this.togglePause());
    byId("log-earlier").addEventListener("click", () => this.#showEarlier());
    byId("log-end").addEventListener("click", () => this.jumpToEnd());
    this.#bindSearch();
    this.#bindSwitch("log-wrap", "wrap", "is-wrapped", true);
    this.#bindSwitch("log-hits", "hits", "only-hits", false);
    new ResizeObserver(() => this.#keepAtEnd()).observe(this.#box);
  }

  /**
   * Shows a log from near its end on.
   *
   * @param {import("./logstream.js").Log} log
   */
  open(log) {
    if (this.log?.path === log.path) return;
    this.close();
    this.log = log;
    this.#lines.hasLevels = log.hasLevels === true;
    setAttribute(byId("log-download"), "href", log.download);
    this.#setPaused(false);
    this.#begin(FIRST_TAIL);
  }

  close() {
    this.#stream?.close();
    this.#stream = null;
    this.log = null;
    this.#lines.clear();
    this.#waiting = "";
    this.#search.look(byId("log-search").value);
    this.#status("");
  }

  /** Stops or goes on where it stopped: the daemon keeps the log, not we. */
  togglePause() {
    if (this.log === null) return;
    this.#setPaused(!this.#isPaused);
    if (this.#isPaused) this.#stream.pause();
    else this.#stream.resume();
  }

  /** Tries once more if there was nothing to follow the last time. */
  retry() {
    this.#stream?.retry();
  }

  jumpToEnd() {
    this.#isAtEnd = true;
    this.#keepAtEnd();
  }

  focusSearch() {
    byId("log-search").focus();
    byId("log-search").select();
  }

  /** Goes to the next line found, or with -1 to the one before. */
  stepSearch(direction) {
    this.#isAtEnd = false;
    this.#search.step(direction);
    this.#showProgress();
  }

  #begin(tail) {
    this.#stream?.close();
    this.#lines.clear();
    this.#waiting = "";
    this.#isAtEnd = true;
    this.#search.look(byId("log-search").value);
    this.#stream = new LogStream(this.log.path, tail, {
      ontext: (text) => this.#take(text),
      onremark: (text) => this.#remark(text),
      onstatus: (text) => this.#status(text),
      onbegin: (offset) => this.#showWhatIsBefore(offset, tail),
    });
  }

  #showWhatIsBefore(offset, tail) {
    const button = byId("log-earlier");
    button.hidden = offset === 0 || tail >= LONGEST_TAIL;
    setText(button, `Show earlier lines (${format.bytes(offset)} before these)`);
    if (offset > 0 && tail >= LONGEST_TAIL) {
      this.#remark(`${format.bytes(offset)} before this are not shown; download the log to see them`);
    }
  }

  #showEarlier() {
    const tail = Math.min(LONGEST_TAIL, this.#stream.tail * 8);
    this.#setPaused(false);
    this.#begin(tail);
  }

  #take(text) {
    this.#waiting += text;
    if (this.#waiting.length > MOST_WAITING) {
      const cut = this.#waiting.indexOf("\n", this.#waiting.length - MOST_WAITING / 2) + 1;
      this.#skipped += cut;
      this.#waiting = this.#waiting.slice(cut);
    }
    this.#show();
  }

  #remark(text) {
    this.#flush();
    this.#lines.remark(text);
    this.#keepAtEnd();
  }

  #flush() {
    if (this.#skipped > 0) {
      this.#lines.remark(`${format.count(this.#skipped)} characters came too fast to be shown; download the log to see them`);
      this.#skipped = 0;
    }
    if (this.#waiting !== "") this.#lines.append(this.#waiting);
    this.#waiting = "";
    byId("log-empty").hidden = this.#lines.count > 0;
    this.#showProgress();
    this.#keepAtEnd();
  }

  #keepAtEnd() {
    if (this.#isAtEnd) this.#box.scrollTop = this.#box.scrollHeight;
    byId("log-end").hidden = this.#isAtEnd;
  }

  #scrolled() {
    const distance = this.#box.scrollHeight - this.#box.clientHeight - this.#box.scrollTop;
    this.#isAtEnd = distance <= AT_END;
    byId("log-end").hidden = this.#isAtEnd;
  }

  #setPaused(isPaused) {
    this.#isPaused = isPaused;
    const button = byId("log-pause");
    setAttribute(button, "aria-pressed", String(isPaused));
    setText(button, isPaused ? "Resume" : "Pause");
    button.classList.toggle("primary", isPaused);
  }

  #status(text) {
    setText(byId("log-status"), text);
    byId("log-empty").hidden = this.#lines.count > 0 || this.log === null;
  }

  #bindSearch() {
    const input = byId("log-search");
    input.addEventListener("input", () => {
      this.#search.look(input.value);
      this.#box.classList.toggle("is-searching", input.value !== "");
      this.#showProgress();
    });
    input.addEventListener("keydown", (event) => {
      if (event.key === "Enter") this.stepSearch(event.shiftKey ? -1 : 1);
    });
    byId("log-before").addEventListener("click", () => this.stepSearch(-1));
    byId("log-next").addEventListener("click", () => this.stepSearch(1));
  }

  #showProgress() {
    const { total, current } = this.#search.progress;
    const isSearching = this.#search.wanted !== "";
    const lines = format.plural(total, "line");
    setText(byId("log-found"), !isSearching ? "" : current > 0 ? `${format.count(current)} of ${lines}` : lines);
    byId("log-before").disabled = byId("log-next").disabled = total === 0;
  }

  /** A switch that the browser remembers and that gives the log a class. */
  #bindSwitch(id, key, name, otherwise) {
    const input = byId(id);
    input.checked = remembered(`log-${key}`, otherwise ? "yes" : "no") === "yes";
    const apply = () => {
      this.#box.classList.toggle(name, input.checked);
      remember(`log-${key}`, input.checked ? "yes" : "no");
      this.#keepAtEnd();
    };
    input.addEventListener("change", apply);
    apply();
  }
}
