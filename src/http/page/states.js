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

/** Whether somebody should look at it. */
export function isTrouble(state) {
  return state === "FATAL" || state === "BACKOFF" || state === "UNKNOWN";
}

/** The class that gives a state its colour. */
export function stateClass(state) {
  return `state state-${rank.has(state) ? state.toLowerCase() : "unknown"}`;
}
