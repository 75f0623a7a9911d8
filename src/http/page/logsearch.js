/** Finding text in the lines of a log, also in those that are still to come. */

/** Places that are coloured; the lines beyond are found all the same. */
const MOST_RANGES = 2000;

export class LogSearch {
  #lines;
  #wanted = "";
  #hits = [];
  #current = -1;
  #ranges = 0;
  /** Absent in older browsers: there the line is marked and not the place in it. */
  #highlight = "highlights" in CSS ? new Highlight() : null;

  /** @param {import("./lines.js").Lines} lines */
  constructor(lines) {
    this.#lines = lines;
    if (this.#highlight !== null) CSS.highlights.set("search", this.#highlight);
  }

  get wanted() {
    return this.#wanted;
  }

  /** How many lines were found, and the number of the one that is shown, from 1; 0 for none. */
  get progress() {
    this.#dropGone();
    return { total: this.#hits.length, current: this.#current + 1 };
  }

  /** Looks for another text; upper and lower case are the same. */
  look(text) {
    for (const line of this.#hits) line.classList.remove("is-hit", "is-current");
    this.#highlight?.clear();
    this.#wanted = text.toLowerCase();
    this.#hits = [];
    this.#current = -1;
    this.#ranges = 0;
    for (const line of this.#lines.elements()) this.examine(line);
  }

  /** Looks into a line that is new. */
  examine(line) {
    if (this.#wanted === "" || !line.textContent.toLowerCase().includes(this.#wanted)) return;
    line.classList.add("is-hit");
    this.#hits.push(line);
    this.#colour(line);
  }

  /** Goes to the next line found, or with -1 to the one before; the latest is the first. */
  step(direction) {
    this.#dropGone();
    if (this.#hits.length === 0) return;
    this.#hits[this.#current]?.classList.remove("is-current");
    const start = this.#current < 0 ? (direction > 0 ? -1 : this.#hits.length) : this.#current;
    this.#current = (start + direction + this.#hits.length) % this.#hits.length;
    const line = this.#hits[this.#current];
    line.classList.add("is-current");
    line.scrollIntoView({ block: "center" });
  }

  /** Lines that were dropped from the log are not found any more. */
  #dropGone() {
    const gone = this.#hits.findIndex((line) => line.isConnected);
    const count = gone < 0 ? this.#hits.length : gone;
    if (count === 0) return;
    this.#hits.splice(0, count);
    this.#current = Math.max(-1, this.#current - count);
  }

  #colour(line) {
    if (this.#highlight === null || this.#ranges >= MOST_RANGES) return;
    const texts = document.createTreeWalker(line, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
      const text = texts.currentNode.data.toLowerCase();
      for (let at = text.indexOf(this.#wanted); at >= 0; at = text.indexOf(this.#wanted, at + this.#wanted.length)) {
        const range = new StaticRange({
          startContainer: texts.currentNode, startOffset: at, endContainer: texts.currentNode, endOffset: at + this.#wanted.length,
        });
        this.#highlight.add(range);
        this.#ranges += 1;
      }
    }
  }
}
