/** The view of the dependencies: who waits for whom, as a picture whose states and lines change as things happen. */

import { pathOf, readJson } from "./api.js";
import { byId, draw, make, setAttribute, setText } from "./dom.js";
import { plural } from "./format.js";
import { BOX, layOut } from "./graph.js";
import { addressOf } from "./router.js";
import { stateClass, toneClass } from "./states.js";
import { visibleText } from "./text.js";
import { toGraph } from "./wire.js";

/** A picture of more processes would show nothing. */
const MOST_DRAWN = 100;

/** So many of them are listed instead. */
const MOST_LISTED = 1000;

/** When processes come and go, the picture is made anew after so many milliseconds: they seldom come alone. */
const REST = 300;

/** Words that say more than the state does. */
const TELLING = ["healthy", "unhealthy", "waiting", "finished"];

export class GraphView {
  #store;
  #isOpen = false;
  /** The process whose surroundings are shown; `null` for all. */
  #name = null;
  #boxes = new Map();
  #lines = [];
  #timer = null;

  /** @param {import("./store.js").Store} store */
  constructor(store) {
    this.#store = store;
    store.subscribe((changed, topics) => {
      if (topics.has("set") || topics.has("state")) this.#showLink();
      if (!this.#isOpen) return;
      if (topics.has("set")) this.#refreshSoon();
      else if (topics.has("state")) this.#update(changed);
    });
  }

  /** Shows what hangs together with a process, or everything for `null`. */
  open(name) {
    if (this.#isOpen && this.#name === name) return;
    this.#isOpen = true;
    this.#name = name;
    this.#showLink();
    setText(byId("graph-name"), name === null ? "Dependencies" : `Dependencies of ${visibleText(name)}`);
    byId("graph-all").hidden = name === null;
    this.#refresh();
  }

  close() {
    this.#isOpen = false;
    clearTimeout(this.#timer);
    this.#timer = null;
  }

  /** Whoever uses no dependencies need not know that there is a view of them. */
  #showLink() {
    const isUsed = () => [...this.#store.processes.values()].some(({ life }) => life !== null && life.needs.length > 0);
    byId("nav-dependencies").hidden = !this.#isOpen && !isUsed();
  }

  #refreshSoon() {
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      this.#refresh();
    }, REST);
  }

  async #refresh() {
    const name = this.#name;
    let nodes = [];
    let text = "";
    try {
      nodes = toGraph(await readJson(name === null ? "dependencies" : `${pathOf(name)}/dependencies`));
    } catch (error) {
      text = `The dependencies cannot be shown: ${error.message}`;
    }
    // Somebody has gone on to something else meanwhile.
    if (this.#isOpen && this.#name === name) this.#show(nodes, text);
  }

  #show(nodes, problem) {
    const isTooMuch = nodes.length > MOST_DRAWN;
    const none = this.#name === null ? "No process depends on another. depends_on in the configuration says who waits for whom." : "It depends on nobody, and nobody depends on it.";
    const choose = this.#name === null ? " Choose one to see what hangs together with it." : "";
    const tooMuch = `There are ${plural(nodes.length, "process", "processes")} here; a picture of more than ${MOST_DRAWN} would show nothing.${choose}`;
    const text = problem !== "" ? problem : nodes.length === 0 ? none : isTooMuch ? tooMuch : "";
    setText(byId("graph-count"), nodes.length === 0 ? "" : plural(nodes.length, "process", "processes"));
    byId("graph-empty").hidden = text === "";
    setText(byId("graph-empty"), text);
    this.#draw(isTooMuch ? [] : nodes);
    this.#list(isTooMuch ? nodes : []);
  }

  #draw(nodes) {
    const { width, height, boxes, lines } = layOut(nodes);
    this.#boxes = new Map(nodes.map((node) => [node.namespec, makeBox(node, boxes.get(node.namespec))]));
    this.#lines = lines.map((line) => {
      const need = nodes.find(({ namespec }) => namespec === line.to).needs[line.need];
      return { ...line, verdict: need.verdict, isSoft: need.isSoft, element: draw("path", { d: line.path }) };
    });
    // A long name ends at the edge of its box.
    const clip = draw("clipPath", { id: "graph-clip" }, draw("rect", { width: BOX.width - 8, height: BOX.height }));
    const elements = [clip, ...this.#lines.map(({ element }) => element), ...[...this.#boxes.values()].map(({ element }) => element)];
    const label = this.#name === null ? "Dependencies" : `Dependencies of ${visibleText(this.#name)}`;
    const picture = draw("svg", { class: "graph", width, height, viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": label }, ...elements);
    const focused = document.activeElement?.getAttribute("data-namespec") ?? null;
    byId("graph").replaceChildren(...(nodes.length === 0 ? [] : [picture]));
    if (focused !== null) this.#boxes.get(focused)?.element.focus();
    const meant = this.#boxes.get(this.#name)?.element;
    meant?.classList.add("is-meant");
    meant?.scrollIntoView({ block: "center", inline: "nearest" });
    this.#update(new Set(this.#boxes.keys()));
  }

  #list(nodes) {
    const item = ({ namespec, state }) =>
      make("li", {}, make("a", { href: addressOf("dependencies", namespec) }, visibleText(namespec)), make("span", { class: stateClass(state) }, state));
    const items = nodes.slice(0, MOST_LISTED).map(item);
    if (nodes.length > MOST_LISTED) items.push(make("li", { class: "hint" }, `and ${plural(nodes.length - MOST_LISTED, "other")}`));
    byId("graph-names").replaceChildren(...items);
    byId("graph-names").hidden = nodes.length === 0;
  }

  /** Shows the states of these, and which of their conditions hold. */
  #update(changed) {
    for (const namespec of changed) {
      const box = this.#boxes.get(namespec);
      const process = this.#store.processes.get(namespec);
      if (box !== undefined) updateBox(box, process ?? { ...box.node, life: null });
    }
    for (const line of this.#lines) {
      if (!changed.has(line.to)) continue;
      const verdict = this.#store.processes.get(line.to)?.life?.needs[line.need]?.verdict ?? line.verdict;
      setAttribute(line.element, "class", `line line-${verdict}${line.isSoft ? " is-soft" : ""}`);
    }
  }
}

function makeBox(node, { x, y }) {
  const name = visibleText(node.namespec);
  const state = draw("text", { class: "node-state", x: 26, y: 36 });
  const element = draw(
    "a",
    { href: addressOf("process", node.namespec), transform: `translate(${x} ${y})`, "data-namespec": node.namespec },
    draw("rect", { width: BOX.width, height: BOX.height, rx: 8 }),
    draw("circle", { cx: 17, cy: 32, r: 3.5 }),
    draw("text", { class: "node-name", x: 13, y: 18, "clip-path": "url(#graph-clip)" }, name, draw("title", {}, name)),
    // Between two words for those who hear them.
    " ",
    state,
  );
  return { node, element, state };
}

function updateBox({ element, state }, process) {
  const word = TELLING.includes(process.life?.word) ? ` · ${process.life.word}` : "";
  const isMeant = element.classList.contains("is-meant");
  setAttribute(element, "class", `node ${toneClass(process)}${isMeant ? " is-meant" : ""}`);
  setText(state, `${process.state}${word}`);
}
