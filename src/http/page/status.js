/** How the page and the daemon stand to each other, said plainly: at the top, in a banner if it matters, in the title. */

import { byId, setText } from "./dom.js";
import * as format from "./format.js";
import { isTrouble } from "./states.js";
import { tell } from "./notices.js";
import { visibleText } from "./text.js";

/** A connection that comes back so soon was no loss worth a banner, in milliseconds. */
const PATIENCE = 1000;

const WORDS = { connecting: "Connecting…", live: "Live", lost: "Connection lost", stopped: "Stopped", restarting: "Restarting" };

/** Shows the state of the connection and of the daemon from now on. */
export function watchStatus(store) {
  let wasLost = false;
  const update = () => {
    const { state } = store.connection;
    const word = byId("connection");
    setText(word, WORDS[state]);
    word.className = `connection is-${state}`;
    const text = bannerText(store);
    byId("banner").classList.toggle("is-waiting", state === "restarting" || state === "live");
    if (byId("banner").textContent !== text) byId("banner").textContent = text;
    document.body.classList.toggle("is-stale", state !== "live" && text !== "");
    if (state === "live" && wasLost) tell("info", "Connected again");
    wasLost = state === "live" ? false : wasLost || text !== "";
    updateTitle(store);
  };
  store.subscribe((changed, topics) => {
    if (topics.has("connection")) setTimeout(update, PATIENCE + 10);
    if (changed.size > 0 || topics.size > 0) update();
  });
  update();
}

function bannerText(store) {
  const { state, since, why } = store.connection;
  const stale = `What is shown is from ${format.clock(since)}.`;
  if (state === "live") {
    const ending = { SHUTDOWN: "The daemon is shutting down.", RESTARTING: "The daemon is restarting." };
    return ending[store.daemon?.state] ?? "";
  }
  if (state === "stopped") return `The daemon has stopped. ${stale} The page connects by itself when it is started again.`;
  if (state === "restarting") return "The daemon is restarting. The page connects by itself.";
  if (state === "connecting" || Date.now() - since < PATIENCE) return "";
  return `Connection lost; trying again. ${why === "" ? "" : `${visibleText(why)}. `}${stale}`;
}

/** A tab in the background shows that something is wrong. */
function updateTitle(store) {
  const name = store.daemon === null ? "supervisord" : visibleText(store.daemon.identification);
  let trouble = 0;
  for (const process of store.processes.values()) trouble += Number(isTrouble(process));
  const mark = store.connection.state === "live" ? (trouble > 0 ? `(${trouble}) ` : "") : "(!) ";
  const title = `${mark}${name}`;
  if (document.title !== title) document.title = title;
  // The usual one tells nothing.
  setText(byId("identification"), ["supervisor", "supervisord"].includes(name) ? "" : name);
}
