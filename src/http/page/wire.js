/** What the daemon's answers mean to the page: the only place that knows how they are spelt. */

/**
 * @typedef {Object} Exit
 * @property {string} text  such as `exit status 1`
 * @property {string} short  the same for a narrow column: `exit 1`
 * @property {number|null} at  in milliseconds
 * @property {boolean|null} isExpected  `null` if nobody remembers
 * @property {number|null} lasted  for how many seconds it had run
 *
 * @typedef {Object} Process
 * @property {string} namespec
 * @property {string} group
 * @property {string} name
 * @property {boolean} isListener
 * @property {string} state  such as `RUNNING`
 * @property {number|null} pid
 * @property {number|null} startedAt  in milliseconds; `null` if it does not run
 * @property {number|null} cpu  in percent of one processor
 * @property {number|null} memory  in bytes
 * @property {number} restarts
 * @property {Exit|null} exit  the last one
 * @property {string} why  what went wrong, if something did
 * @property {{what: string, at: number}|null} next  what happens by itself, and when
 * @property {{stdout: boolean, stderr: boolean}} logs  which streams are kept
 * @property {Life|null} life  `null` if its configuration uses nothing of that
 *
 * @typedef {Object} Life
 * @property {string} word  how it is: `healthy`, `unhealthy`, `waiting` …
 * @property {string} reason  why, if that needs words
 * @property {boolean} isOneshot
 * @property {Need[]} needs  the items of its `depends_on`
 * @property {string|null} ready  how it becomes ready
 * @property {{probe: string, isHealthy: boolean|null, failures: number, retries: number}|null} health
 * @property {{used: number|null, limit: number}|null} memory  in bytes, of all that it has started, too
 * @property {string} problem  what the last probe has found wrong
 * @property {[string, string][]} given  keys and values of what its configuration gives it
 * @property {{count: number, limit: number}|null} starts  automatic starts that count towards a limit
 * @property {{directory: string, memory_bytes: number|null, cpu_seconds: number|null, tasks: number|null}|null} cgroup
 *
 * @typedef {Object} Need
 * @property {string} text  as in the configuration: `db:healthy?`
 * @property {boolean} isSoft  only the order matters
 * @property {"met"|"unmet"|"failed"} verdict
 * @property {string[]} names  the namespecs that it stands for
 *
 * @typedef {Object} GraphNode
 * @property {string} namespec
 * @property {string} state
 * @property {Need[]} needs
 *
 * @typedef {Object} Change
 * @property {string} namespec
 * @property {string} from
 * @property {string} to
 * @property {number} at  in milliseconds
 * @property {string} note
 *
 * @typedef {Object} Daemon
 * @property {string} version
 * @property {string} identification
 * @property {string} state
 * @property {number} pid
 * @property {number} managerPid
 * @property {number} managerStarts
 * @property {string} config
 */

/** @returns {Process} */
export function toProcess(row) {
  const isAlive = row.pid > 0;
  return {
    namespec: row.namespec,
    group: row.group,
    name: row.name,
    program: row.program,
    isListener: row.kind === "eventlistener",
    state: row.statename,
    pid: isAlive ? row.pid : null,
    startedAt: isAlive ? row.start * 1000 : null,
    cpu: isAlive ? (row.cpu_percent ?? null) : null,
    memory: isAlive ? (row.memory_bytes ?? null) : null,
    restarts: row.restarts,
    exit: row.last_exit === null ? null : toExit(row.last_exit),
    why: ["BACKOFF", "FATAL", "UNKNOWN"].includes(row.statename) ? row.why : "",
    next: row.next === null ? null : { what: row.next.what, at: row.next.at_ms },
    logs: { stdout: row.stdout_logfile !== "", stderr: row.stderr_logfile !== "" },
    life: row.word === undefined ? null : toLife(row),
  };
}

/** @returns {Life} */
function toLife(row) {
  const { health } = row;
  return {
    word: row.word,
    reason: row.reason,
    isOneshot: row.is_oneshot,
    needs: row.needs.map(toNeed),
    ready: row.ready,
    health: health === null ? null : { probe: health.probe, isHealthy: health.is_healthy, failures: health.failures, retries: health.retries },
    memory: row.memory === undefined ? null : { used: row.memory.used_bytes, limit: row.memory.limit_bytes },
    problem: row.problem,
    starts: row.automatic_starts,
    given: Object.entries(row.given ?? {}),
    cgroup: row.cgroup ?? null,
    isDisabled: row.is_disabled === true,
  };
}

/** @returns {Need} */
function toNeed({ item, is_soft: isSoft, verdict, processes }) {
  return { text: item, isSoft, verdict, names: processes.map(({ namespec }) => namespec) };
}

/** @returns {GraphNode[]} */
export function toGraph(answer) {
  return answer.processes.map(({ namespec, statename, needs }) => ({ namespec, state: statename, needs: needs.map(toNeed) }));
}

/** @returns {Exit} */
function toExit(exit) {
  return {
    text: exit.text,
    short: exit.signal ?? (exit.code === null ? exit.text : `exit ${exit.code}`),
    at: exit.at > 0 ? exit.at * 1000 : null,
    isExpected: exit.expected,
    lasted: exit.lasted_seconds,
  };
}

/** @returns {Change} */
export function toChange(moment) {
  return { namespec: moment.namespec, from: moment.from, to: moment.to, at: moment.at_ms, note: moment.detail };
}

/** @returns {Daemon} */
export function toDaemon(daemon) {
  return {
    version: daemon.version,
    identification: daemon.identification,
    state: daemon.statename,
    pid: daemon.pid,
    managerPid: daemon.manager_pid,
    managerStarts: daemon.manager_starts,
    config: daemon.config,
  };
}

/** What is no failure when many are meant: they are where they were to be. */
const UNNEEDED = { start: "ALREADY_STARTED", stop: "NOT_RUNNING", signal: "NOT_RUNNING" };

/**
 * What an action came to for each process. `outcome` is `done`, `failed`, `unneeded`, or `pending` if it takes longer
 * than the answer could wait.
 *
 * @returns {Array<{namespec: string, outcome: string, message: string}>}
 */
export function toOutcomes(answer) {
  return answer.results.map(({ namespec, outcome, fault, detail }) => {
    const isUnneeded = Boolean(fault) && fault === UNNEEDED[answer.action];
    return { namespec, outcome: isUnneeded ? "unneeded" : outcome, message: detail };
  });
}
