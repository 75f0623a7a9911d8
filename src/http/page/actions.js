/**
 * Doing something to processes: asking where it cannot be undone, showing that it is under way, telling what came of
 * it in truth.
 */

import { ApiError, change, pathOf, readJson } from "./api.js";
import { askNumber, askSignal, confirm } from "./dialogs.js";
import { tell } from "./notices.js";
import { plural } from "./format.js";
import { visibleText } from "./text.js";
import { toOutcomes } from "./wire.js";

/** Failures listed by name; the rest is counted. */
const FAILURES_SHOWN = 8;

/** How long the daemon is to wait for the outcome, in seconds: a browser waits with six requests at most. */
const PATIENCE = 20;

/**
 * @typedef {Object} Target
 * @property {"process"|"group"|"selection"|"all"} kind
 * @property {string} title  how people call it
 * @property {string[]} names  the namespecs in it
 * @property {string} [group]
 */

const WORDS = {
  start: { verb: "Start", done: "started", refused: "start" },
  startAlone: { verb: "Start without dependencies", done: "started", refused: "start", sends: "start", options: { deps: false } },
  stopWithDependents: {
    verb: "Stop", done: "stopped, and all that depends on it", refused: "stop", sends: "stop", options: { dependents: true },
    question: (title) => `Stop ${title} and all that depends on it?`,
  },
  stop: { verb: "Stop", done: "stopped", refused: "stop" },
  restart: { verb: "Restart", done: "restarted", refused: "restart" },
  signal: { verb: "Signal", done: "signalled", refused: "signal" },
  clear: { verb: "Clear log", done: "log cleared", refused: "clear the log of" },
};

/** Lets views act. */
export class Actions {
  #table;

  /** @param {import("./table.js").ProcessTable} table */
  constructor(table) {
    this.#table = table;
  }

  /**
   * Does something, after a question if there is need for one.
   *
   * @param {keyof WORDS} action
   * @param {Target} target
   * @param {{asks?: boolean}} options  `asks`: with a question also where a click goes without, because a key is
   *   pressed more easily by mistake
   */
  async run(action, target, { asks = false } = {}) {
    if (target.names.length === 0) return;
    const signal = action === "signal" ? await askSignal(target.title, listed(target)) : undefined;
    if (signal === null || !(await this.#mayGoOn(action, target, asks))) return;
    this.#table.setBusy(target.names, true);
    try {
      report(action, target, toOutcomes(await request(action, target, signal)));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      tell("failure", `Could not ${WORDS[action].refused} ${target.title}`, [error.message]);
    } finally {
      this.#table.setBusy(target.names, false);
    }
  }

  /** Lets a process start with the daemon from now on, or not. */
  async setEnabled(namespec, starts) {
    const title = visibleText(namespec);
    try {
      const { kept, not_saved: problem } = await change(`${pathOf(namespec)}/${starts ? "enable" : "disable"}`, {});
      tell(problem === "" ? "success" : "failure", `${title}: ${starts ? "enabled" : "disabled"}`, howLong(kept, problem));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      tell("failure", `Could not ${starts ? "enable" : "disable"} ${title}`, [error.message]);
    }
  }

  /** Asks how many processes a program is to have, and gives it so many. */
  async scale(program) {
    if (program === undefined) return;
    const [path, title] = [`programs/${encodeURIComponent(program)}`, visibleText(program)];
    try {
      const chosen = await askNumber(title, await readJson(path));
      if (chosen === null) return;
      const { programs, problems, kept, not_saved: problem } = await change(`${path}/scale`, chosen);
      const [{ before, now }] = programs;
      const isGood = problems.length === 0 && problem === "";
      tell(isGood ? "success" : "failure", `${title}: scaled from ${before} to ${now}`, [...problems.map(visibleText), ...howLong(kept, problem)]);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      tell("failure", `Could not scale ${title}`, [error.message]);
    }
  }

  /** Starting undoes a stop, one process at a time; a cleared log is gone, and many processes are many. */
  #mayGoOn(action, target, asks) {
    const { verb, question } = WORDS[action];
    if (action === "clear") {
      const text = "What is in the logs now, stdout and stderr, will be deleted. This cannot be undone.";
      return confirm({ title: `Clear the log of ${target.title}?`, text, names: listed(target), verb });
    }
    const isHarmless = action === "start" || action === "startAlone" || action === "signal";
    if (isHarmless || (target.kind === "process" && !asks)) return true;
    const title = question === undefined ? `${verb} ${target.title}?` : question(target.title);
    return confirm({ title, text: "Work that is under way there may be lost.", names: listed(target), verb });
  }
}

/** How long a change holds, where that is not for good. */
function howLong(kept, problem) {
  if (problem !== "") return [`It could not be saved: ${visibleText(problem)}`];
  return kept === "saved" ? [] : ["This holds until the daemon ends."];
}

/** The names that a question shows; one alone stands in its title. */
function listed({ kind, names }) {
  return kind === "process" ? [] : names.map(visibleText);
}

function request(wanted, target, signal) {
  const { sends: action = wanted, options } = WORDS[wanted];
  const body = { timeout: PATIENCE, ...(signal === undefined ? {} : { signal }), ...options };
  switch (target.kind) {
    case "process":
      return change(`${pathOf(target.names[0])}/${action}`, body);
    case "group":
      return change(`groups/${encodeURIComponent(target.group)}/${action}`, body);
    case "all":
      return change("actions", { action, ...body });
    default:
      return change("actions", { action, names: target.names, ...body });
  }
}

/** Tells the real outcome: what the daemon says of each process. */
function report(action, target, outcomes) {
  const { done, refused } = WORDS[action];
  const count = (wanted) => outcomes.filter(({ outcome }) => outcome === wanted).length;
  const isOne = target.kind === "process";
  // Whoever asks for one process wants to know that there was nothing to do.
  const failures = outcomes.filter(({ outcome }) => outcome === "failed" || (isOne && outcome === "unneeded"));
  const lines = [...failureLines(failures, isOne), ...remarks(count)];
  const summary = isOne ? "" : ` (${count("done")} of ${plural(outcomes.length, "process", "processes")})`;
  if (failures.length > 0 && isOne) tell("failure", `Could not ${refused} ${target.title}`, lines);
  else if (failures.length > 0) tell("failure", `${target.title}: ${done}${summary}`, lines);
  else tell(count("pending") > 0 ? "info" : "success", `${target.title}: ${done}${summary}`, lines);
}

function remarks(count) {
  const takesLonger = `${plural(count("pending"), "process takes", "processes take")} longer; the table shows when it is done`;
  const unneeded = `${plural(count("unneeded"), "process was", "processes were")} there already`;
  return [count("pending") > 0 && takesLonger, count("unneeded") > 0 && unneeded].filter((text) => text !== false);
}

function failureLines(failures, isOne) {
  const line = ({ namespec, message }) => visibleText(isOne ? message : `${namespec}: ${message}`);
  const lines = failures.slice(0, FAILURES_SHOWN).map(line);
  if (failures.length > FAILURES_SHOWN) lines.push(`and ${failures.length - FAILURES_SHOWN} more`);
  return lines;
}
