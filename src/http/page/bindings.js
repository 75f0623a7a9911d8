/** What each key does, in the order in which keys are tried and the overlay lists them. */

import { byId } from "./dom.js";
import { closeMenu } from "./menu.js";
import { dismissNotice } from "./notices.js";
import { go } from "./router.js";
import { switchTheme } from "./theme.js";

/**
 * @param {{shown: () => string, processes: import("./processview.js").ProcessView,
 *   logs: import("./logpage.js").LogPage, config: import("./configview.js").ConfigView, help: () => void}} page
 * @returns {import("./keys.js").Binding[]}
 */
export function makeBindings(page) {
  return [...inProcesses(page), ...inLogs(page), ...inConfig(page), ...everywhere(page)];
}

function inProcesses({ shown, processes }) {
  const { table } = processes;
  const where = "Processes";
  const when = () => shown() === "processes";
  const withProcess = () => when() && (processes.currentName !== null || table.selection.size > 0);
  const act = (key, action, text) => ({ keys: [key], text, where, when: withProcess, run: () => processes.actByKey(action) });
  const openLog = (stream) => () => go("log", processes.currentName, stream);
  const withCurrent = () => when() && processes.currentName !== null;
  return [
    { keys: ["j", "ArrowDown"], text: "Next process", where, when, run: () => table.move(1) },
    { keys: ["k", "ArrowUp"], text: "Previous process", where, when, run: () => table.move(-1) },
    { keys: ["Home"], text: "First process", where, when, run: () => table.move(-Infinity) },
    { keys: ["End"], text: "Last process", where, when, run: () => table.move(Infinity) },
    { keys: ["x", " "], text: "Select it, or not", where, when: withCurrent, run: () => table.toggleCurrent() },
    { keys: ["a"], text: "Select all that are shown", where, when, run: () => table.selection.set(table.shown(), true) },
    { keys: ["Enter"], text: "Details", where, when: withCurrent, run: () => go("process", processes.currentName) },
    { keys: ["l"], text: "Follow its stdout", where, when: withCurrent, run: openLog("stdout") },
    { keys: ["e"], text: "Follow its stderr", where, when: withCurrent, run: openLog("stderr") },
    act("s", "start", "Start it, or the selection"),
    act("t", "stop", "Stop (asks first)"),
    act("r", "restart", "Restart (asks first)"),
    act("i", "signal", "Send a signal"),
    act("c", "clear", "Clear its log (asks first)"),
    { keys: ["g"], text: "Groups together, or not", where, when, run: () => processes.toggleGroups() },
    { keys: ["h"], text: "Last changes, or not", where, when, run: () => processes.toggleChanges() },
    { keys: ["/"], text: "Filter", where, when, run: () => focusAndSelect("filter") },
  ];
}

function inLogs({ shown, logs }) {
  const where = "Logs";
  const when = () => shown() === "log" || shown() === "activity";
  return [
    { keys: ["p", " "], text: "Pause, or go on", where, when, run: () => logs.view.togglePause() },
    { keys: ["/"], text: "Search", where, when, run: () => focusAndSelect("log-search") },
    { keys: ["n"], text: "Found next", where, when, run: () => logs.view.stepSearch(1) },
    { keys: ["N"], text: "Found before", where, when, run: () => logs.view.stepSearch(-1) },
    { keys: ["End", "G"], text: "To the latest line", where, when, run: () => logs.view.jumpToEnd() },
    { keys: ["c"], text: "Clear the log (asks first)", where, when, run: () => logs.clear() },
  ];
}

function inConfig({ shown, config }) {
  const where = "Configuration";
  const when = () => shown() === "config";
  return [
    { keys: ["/"], text: "Filter", where, when, run: () => focusAndSelect("config-filter") },
    { keys: ["r"], text: "Look what reread would change", where, when, run: () => config.refresh() },
    { keys: ["u"], text: "Update (asks first)", where, when, run: () => config.update() },
  ];
}

function everywhere({ shown, processes, help }) {
  const where = "Everywhere";
  return [
    { keys: ["1"], text: "Processes", where, run: () => go() },
    { keys: ["2"], text: "Activity log", where, run: () => go("activity") },
    { keys: ["3"], text: "Configuration", where, run: () => go("config") },
    { keys: ["4"], text: "Dependencies, if there are any", where, when: () => !byId("nav-dependencies").hidden, run: () => go("dependencies") },
    { keys: ["d"], text: "Dark, or light", where, run: () => switchTheme() },
    { keys: ["?"], text: "This list", where, run: help },
    { keys: ["Escape"], text: "Leave a field, close, clear", where, run: () => retreat(shown, processes) },
  ];
}

function focusAndSelect(id) {
  byId(id).focus();
  byId(id).select();
}

/** One step back. */
function retreat(shown, processes) {
  const field = document.activeElement.closest('input[type="search"]');
  if (closeMenu()) return;
  if (field !== null && field.value !== "") {
    field.value = "";
    field.dispatchEvent(new Event("input"));
  } else if (field !== null) field.blur();
  else if (dismissNotice()) return;
  else if (shown() === "processes") processes.retreat();
  else go();
}
