/** A small drawing of one figure over the last hour. */

import { draw, make, setText } from "./dom.js";
import { clock } from "./format.js";

const WIDTH = 320;
const HEIGHT = 72;
const HOUR = 3600 * 1000;

/** Samples further apart than so many times the usual distance are not connected: nothing ran in between. */
const GAP = 3;

/**
 * A chart that can be told new points.
 *
 * @param {string} title
 * @param {(value: number) => string} write  how a value is written
 * @param {number} least  the top of the chart is never below this, so that noise does not look like a mountain
 */
export function makeChart(title, write, least) {
  const area = draw("path", { class: "chart-area" });
  const line = draw("path", { class: "chart-line" });
  const cursor = draw("line", { class: "chart-cursor", y1: 0, y2: HEIGHT });
  const grid = [0.5].map((part) => draw("line", { class: "chart-grid", x1: 0, x2: WIDTH, y1: HEIGHT * part, y2: HEIGHT * part }));
  const picture = draw(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": title },
    ...grid, area, line, cursor,
  );
  const value = make("output", { class: "chart-value" });
  const top = make("span", { class: "chart-top" });
  const element = make(
    "figure",
    { class: "chart" },
    make("figcaption", {}, make("span", {}, title), value),
    make("div", { class: "chart-box" }, picture, top),
    make("div", { class: "chart-axis", "aria-hidden": "true" }, make("span", {}, "1 h ago"), make("span", {}, "now")),
  );
  let points = [];
  let end = 0;

  const x = (at) => WIDTH - ((end - at) / HOUR) * WIDTH;
  const latest = () => setText(value, points.length === 0 ? "–" : write(points.at(-1).value));

  /** Shows these points, the oldest first; `now` is the right edge. */
  function update(newPoints, now) {
    end = now;
    points = newPoints.filter(({ at }) => at >= now - HOUR);
    const highest = points.reduce((most, point) => Math.max(most, point.value), 0);
    const ceiling = Math.max(least, highest * 1.1);
    const y = (point) => HEIGHT - (point.value / ceiling) * (HEIGHT - 2) - 1;
    const runs = connected(points).map((run) => run.map((point) => `${x(point.at).toFixed(1)},${y(point).toFixed(1)}`));
    line.setAttribute("d", runs.map((run) => `M${run.join("L")}${run.length === 1 ? "h0.1" : ""}`).join(""));
    const closed = (run) => `M${run[0].split(",")[0]},${HEIGHT}L${run.join("L")}L${run.at(-1).split(",")[0]},${HEIGHT}Z`;
    area.setAttribute("d", runs.map(closed).join(""));
    setText(top, points.length === 0 ? "" : `max ${write(highest)}`);
    const summary = points.length === 0 ? "no samples yet" : `now ${write(points.at(-1).value)}, at most ${write(highest)}`;
    picture.setAttribute("aria-label", `${title} over the last hour: ${summary}`);
    latest();
  }

  picture.addEventListener("pointermove", (event) => {
    if (points.length === 0) return;
    const box = picture.getBoundingClientRect();
    const at = end - (1 - (event.clientX - box.left) / box.width) * HOUR;
    const nearest = points.reduce((best, point) => (Math.abs(point.at - at) < Math.abs(best.at - at) ? point : best));
    for (const name of ["x1", "x2"]) cursor.setAttribute(name, x(nearest.at).toFixed(1));
    cursor.classList.add("is-shown");
    setText(value, `${write(nearest.value)} at ${clock(nearest.at)}`);
  });
  picture.addEventListener("pointerleave", () => {
    cursor.classList.remove("is-shown");
    latest();
  });
  return { element, update };
}

/** Cuts points where samples are missing. */
function connected(points) {
  if (points.length === 0) return [];
  const distances = points.slice(1).map((point, index) => point.at - points[index].at).sort((one, other) => one - other);
  const usual = distances[Math.floor(distances.length / 2)] ?? 0;
  const runs = [[points[0]]];
  for (let index = 1; index < points.length; index += 1) {
    if (points[index].at - points[index - 1].at > usual * GAP) runs.push([]);
    runs.at(-1).push(points[index]);
  }
  return runs;
}
