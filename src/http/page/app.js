/** Puts the page together, and shows the view that the address names. */

import { makeBindings } from "./bindings.js";
import { ConfigView } from "./configview.js";
import { byId, setAttribute } from "./dom.js";
import { Feed } from "./feed.js";
import { listen, showKeys } from "./keys.js";
import { LogPage } from "./logpage.js";
import { closeMenu } from "./menu.js";
import { ProcessView } from "./processview.js";
import { onRoute } from "./router.js";
import { watchStatus } from "./status.js";
import { Store } from "./store.js";
import { bindThemeButton } from "./theme.js";
import { GraphView } from "./graphview.js";

/** The section of the document in which a view is shown. */
const SECTIONS = { processes: "view-processes", log: "view-log", activity: "view-log", config: "view-config", dependencies: "view-graph" };

byId("not-loaded").remove();

const store = new Store();
// The answer is on its way while the rest is put together.
new Feed(store);
const processes = new ProcessView(store);
const logs = new LogPage(store, processes);
const config = new ConfigView();
const graph = new GraphView(store);
let shown = "processes";

const bindings = makeBindings({ shown: () => shown, processes, logs, config, help: () => showKeys(bindings) });
listen(bindings);
bindThemeButton(byId("theme"));
byId("help").addEventListener("click", () => showKeys(bindings));
byId("skip").addEventListener("click", () => byId("main").focus());
watchStatus(store);
onRoute(show);

/** Shows the view for the words of an address; the processes for one that nobody knows. */
function show([first, ...rest]) {
  closeMenu(false);
  shown = first in SECTIONS ? first : "processes";
  if (shown === "log" && (rest.length !== 2 || !["stdout", "stderr"].includes(rest[1]))) shown = "processes";
  for (const id of new Set(Object.values(SECTIONS))) byId(id).hidden = id !== SECTIONS[shown];
  for (const link of document.querySelectorAll("[data-view]")) {
    setAttribute(link, "aria-current", link.dataset.view === shown ? "page" : null);
  }
  if (SECTIONS[shown] !== SECTIONS.log) logs.close();
  if (shown !== "config") config.close();
  if (shown !== "dependencies") graph.close();
  if (shown === "log") logs.openProcess(...rest);
  else if (shown === "activity") logs.openActivity();
  else if (shown === "config") config.open();
  else if (shown === "dependencies") graph.open(rest.length === 1 ? rest[0] : null);
  else processes.openDetails(first === "process" && rest.length === 1 ? rest[0] : null);
  // On a telephone the links do not all fit.
  document.querySelector("#top [aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
}
