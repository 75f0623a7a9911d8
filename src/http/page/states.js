/** The states of a process, and what can be done in each. */

/** In the order in which they want attention. */
export const STATES = [
  "FATAL", "BACKOFF", "UNKNOWN", "EXITED", "STOPPING", "STARTING", "RUNNING", "STOPPED",
];

const rank = new Map(STATES.map((state, index) => [state, index]));

/** Sorts by how much a state wants attention. */
export function compareStates(one, other) {
  return (rank.get(one) ?? 0) - (rank.get(other) ?? 0);
}

/** Whether something of it is there, or about to be: then it can be stopped. BACKOFF waits for its next start. */
export function isActive(state) {
  return state === "RUNNING" || state === "STARTING" || state === "BACKOFF" || state === "STOPPING";
}

/** Whether there is a process to which a signal can go. */
export function takesSignals(state) {
  return state === "RUNNING" || state === "STARTING" || state === "STOPPING";
}

/** Whether somebody should look at a process. */
export function isTrouble({ state, life }) {
  return state === "FATAL" || state === "BACKOFF" || state === "UNKNOWN" || life?.word === "unhealthy";
}

/** Whether a process waits for what it depends on. */
export function isWaiting({ life }) {
  return life?.word === "waiting";
}

/** Whether it makes a difference to start a process without what it depends on. */
export function canStartAlone(process) {
  return (process.life?.needs.length ?? 0) > 0 && (!isActive(process.state) || isWaiting(process));
}

const TONES = { RUNNING: "good", STARTING: "busy", STOPPING: "busy", BACKOFF: "busy", FATAL: "bad", UNKNOWN: "bad" };

/** The class that gives a drawing the colours of a process: those of its state, unless it is not well. */
export function toneClass(process) {
  return `tone-${process.life?.word === "unhealthy" ? "bad" : (TONES[process.state] ?? "idle")}`;
}

/** What is said of a process in place of its last exit: for whom it waits, what is wrong with it. Empty if nothing. */
export function remark({ state, why, life }) {
  if (why !== "" || life === null) return why;
  const { word, reason } = life;
  if (word === "waiting") return reason === "" ? "waiting" : `waiting for ${reason}`;
  if (word === "unhealthy") return reason === "" ? "unhealthy" : `unhealthy: ${reason}`;
  if (word !== "starting" || reason === "") return "";
  return state === "STARTING" ? `not ready: ${reason}` : state === "RUNNING" ? reason : "";
}

/** The class that gives a state its colour. */
export function stateClass(state) {
  return `state state-${rank.has(state) ? state.toLowerCase() : "unknown"}`;
}
