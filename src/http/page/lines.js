/**
 * The lines of a log as elements: colours drawn, invisible characters shown, and never more of them than a browser can
 * carry.
 */

import { make } from "./dom.js";
import { Ansi, isPlain, styleWith } from "./ansi.js";
import { visible } from "./text.js";

/** Lines kept; the oldest go. */
const MOST_LINES = 10_000;

/** Lines in a block, which the browser draws or leaves alone as a whole. */
const BLOCK = 200;

/** A longer line is cut, in characters, so that a file without a single newline can be looked at, too. */
const LONGEST_LINE = 4096;

/** The beginning of a line of the activity log, and how its levels look. */
const LEVEL = /^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} )(CRIT|ERRO|WARN|INFO|DEBG|TRAC|BLAT)(?= )/;
const FAINT = styleWith({ faint: true });
const LEVELS = {
  CRIT: styleWith({ bold: true, foreground: { named: 1 } }),
  ERRO: styleWith({ foreground: { named: 1 } }),
  WARN: styleWith({ foreground: { named: 3 } }),
  INFO: styleWith({ foreground: { named: 2 } }),
};

export class Lines {
  /** Whether these are lines of the activity log, whose levels get colours. */
  hasLevels = false;
  /** How many lines are there. */
  count = 0;
  /** Called with every line that was completed. */
  online = () => {};

  #parent;
  #ansi = new Ansi();
  /** The line that has no end yet: its text, the style at its beginning, its element. */
  #rest = "";
  #restElement = null;

  constructor(parent) {
    this.#parent = parent;
  }

  /** Takes everything away. */
  clear() {
    this.#parent.replaceChildren();
    this.count = 0;
    this.#ansi = new Ansi();
    this.#rest = "";
    this.#restElement = null;
  }

  /** Adds text, which may begin and end in the middle of a line. */
  append(text) {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop();
    this.#dropRestElement();
    for (const line of lines) this.#complete(line.endsWith("\r") ? line.slice(0, -1) : line, false);
    while (this.#rest.length > LONGEST_LINE) {
      this.#add(this.#rest.slice(0, LONGEST_LINE), true);
      this.#rest = this.#rest.slice(LONGEST_LINE);
    }
    this.#showRest();
    this.#dropOldest();
  }

  /** Adds a line of our own, about the log and not from it. */
  remark(text) {
    this.#dropRestElement();
    this.#insert(make("div", { class: "line remark" }, text));
    this.#showRest();
    this.#dropOldest();
  }

  /** The elements of all complete lines, from the oldest. */
  *elements() {
    for (const block of this.#parent.children) {
      for (const line of block.children) if (line !== this.#restElement) yield line;
    }
  }

  #complete(line) {
    let rest = line;
    while (rest.length > LONGEST_LINE) {
      this.#add(rest.slice(0, LONGEST_LINE), true);
      rest = rest.slice(LONGEST_LINE);
    }
    this.#add(rest, false);
  }

  #add(text, isCut) {
    const element = lineElement(this.#pieces(text));
    if (isCut) element.classList.add("is-cut");
    this.#insert(element);
    this.online(element);
  }

  #pieces(text) {
    const begin = this.hasLevels ? LEVEL.exec(text) : null;
    if (begin === null) return this.#ansi.pieces(text);
    const [whole, time, level] = begin;
    const rest = this.#ansi.pieces(text.slice(whole.length));
    return [{ text: time, style: FAINT }, { text: level, style: LEVELS[level] ?? FAINT }, ...rest];
  }

  #insert(element) {
    let block = this.#parent.lastElementChild;
    if (block === null || block.childElementCount >= BLOCK) {
      block?.classList.add("is-full");
      block = make("div", { class: "block" });
      this.#parent.append(block);
    }
    block.append(element);
    this.count += 1;
  }

  /** Shows the beginning of a line, in a style that the rest of it will find again. */
  #showRest() {
    if (this.#rest === "") return;
    const { style } = this.#ansi;
    this.#restElement = lineElement(this.#pieces(this.#rest));
    this.#restElement.classList.add("is-open");
    this.#ansi.style = style;
    this.#insert(this.#restElement);
  }

  #dropRestElement() {
    if (this.#restElement === null) return;
    this.#restElement.remove();
    this.#restElement = null;
    this.count -= 1;
  }

  #dropOldest() {
    while (this.count > MOST_LINES) {
      const oldest = this.#parent.firstElementChild;
      this.count -= oldest.childElementCount;
      oldest.remove();
    }
  }
}

function lineElement(pieces) {
  const line = make("div", { class: "line" });
  for (const { text, style } of pieces) {
    const parent = isPlain(style) ? line : line.appendChild(styledSpan(style));
    for (const piece of visible(text)) {
      parent.append(piece.isControl ? make("span", { class: "control" }, piece.text) : piece.text);
    }
  }
  return line;
}

/** Named colours and styles are classes; others are set one by one, which the content security policy allows. */
function styledSpan(style) {
  const span = make("span", { class: "styled" });
  for (const name of ["bold", "faint", "italic", "underline", "struck"]) if (style[name]) span.classList.add(name);
  const [ink, paper] = style.inverse ? [style.background, style.foreground] : [style.foreground, style.background];
  if (style.inverse && ink === null) span.classList.add("ink-paper");
  if (style.inverse && paper === null) span.classList.add("paper-ink");
  paint(span, "ink", ink);
  paint(span, "paper", paper);
  return span;
}

function paint(span, what, colour) {
  if (colour === null) return;
  if (colour.named !== undefined) {
    span.classList.add(`${what}-${colour.named}`);
  } else {
    span.classList.add(`${what}-own`);
    span.style.setProperty(`--${what}`, `rgb(${colour.rgb.join(" ")})`);
  }
}
