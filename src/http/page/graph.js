/**
 * Where processes stand in a picture of their dependencies: from left to right in layers, each behind everything it
 * depends on. Within a layer the order is one in which few lines cross. Knows nothing of elements.
 */

/** The size of a process in the picture. */
export const BOX = { width: 184, height: 46 };

const BETWEEN_LAYERS = 72;
const BETWEEN_BOXES = 14;
/** The height of a line that passes through a layer. */
const LANE = 8;
const MARGIN = 12;
/** How often the layers are put in order, there and back. */
const SWEEPS = 6;

/**
 * @typedef {Object} Line
 * @property {string} from  the process that is needed
 * @property {string} to  the process that needs it
 * @property {number} need  which item of its `depends_on` says so
 * @property {string} path  for an element `path`
 *
 * @param {import("./wire.js").GraphNode[]} nodes
 * @returns {{width: number, height: number, boxes: Map<string, {x: number, y: number}>, lines: Line[]}}
 */
export function layOut(nodes) {
  const edges = edgesBetween(nodes);
  const layers = layersOf(nodes, edges);
  const { columns, chains } = putInColumns(nodes, edges, layers);
  order(columns);
  const height = place(columns);
  const boxes = new Map();
  for (const spot of columns.flat()) if (spot.name !== null) boxes.set(spot.name, { x: spot.x, y: spot.y });
  const lines = chains.map(({ edge, spots }) => ({ ...edge, path: pathThrough(spots) }));
  const width = 2 * MARGIN + columns.length * BOX.width + Math.max(0, columns.length - 1) * BETWEEN_LAYERS;
  return { width, height, boxes, lines };
}

/** One edge for each pair, whatever number of items says the same. */
function edgesBetween(nodes) {
  const known = new Set(nodes.map(({ namespec }) => namespec));
  const edges = [];
  for (const { namespec: to, needs } of nodes) {
    const seen = new Set([to]);
    needs.forEach(({ names }, need) => {
      for (const from of names) {
        if (!known.has(from) || seen.has(from)) continue;
        seen.add(from);
        edges.push({ from, to, need });
      }
    });
  }
  return edges;
}

/** The layer of each process: one more than that of the furthest one it depends on. */
function layersOf(nodes, edges) {
  const needs = new Map(nodes.map(({ namespec }) => [namespec, []]));
  for (const { from, to } of edges) needs.get(to).push(from);
  const layers = new Map();
  const visit = (name) => {
    if (layers.has(name)) return layers.get(name);
    // A configuration has no circles. Should there be one all the same, it is cut here.
    layers.set(name, 0);
    const layer = needs.get(name).reduce((most, from) => Math.max(most, visit(from) + 1), 0);
    layers.set(name, layer);
    return layer;
  };
  for (const { namespec } of nodes) visit(namespec);
  return layers;
}

/**
 * Puts everything into columns. A line that passes through a layer has a place there of its own; those that come from
 * one process share it.
 */
function putInColumns(nodes, edges, layers) {
  const columns = [];
  const makeSpot = (name, layer) => {
    const spot = { name, before: [], after: [], layer, x: 0, y: 0 };
    (columns[layer] ??= []).push(spot);
    return spot;
  };
  const spots = new Map(nodes.map(({ namespec }) => [namespec, makeSpot(namespec, layers.get(namespec))]));
  const lanes = new Map();
  const lane = (from, layer) => {
    const key = `${layer} ${from}`;
    if (!lanes.has(key)) lanes.set(key, makeSpot(null, layer));
    return lanes.get(key);
  };
  const chains = edges.map((edge) => {
    const chain = [spots.get(edge.from)];
    for (let layer = layers.get(edge.from) + 1; layer < layers.get(edge.to); layer += 1) chain.push(lane(edge.from, layer));
    chain.push(spots.get(edge.to));
    for (let index = 1; index < chain.length; index += 1) {
      chain[index].before.push(chain[index - 1]);
      chain[index - 1].after.push(chain[index]);
    }
    return { edge, spots: chain };
  });
  return { columns, chains };
}

/** Puts everything beside what it is connected to: by the mean place of its neighbours, to the right and to the left. */
function order(columns) {
  const number = (column) => column.forEach((spot, index) => {
    spot.rank = (index + 0.5) / column.length;
  });
  columns.forEach(number);
  const sort = (column, side) => {
    const wanted = new Map(column.map((spot) => [spot, meanRank(spot[side]) ?? spot.rank]));
    column.sort((one, other) => wanted.get(one) - wanted.get(other));
    number(column);
  };
  for (let sweep = 0; sweep < SWEEPS; sweep += 1) {
    columns.slice(1).forEach((column) => sort(column, "before"));
    columns.slice(0, -1).reverse().forEach((column) => sort(column, "after"));
  }
}

function meanRank(spots) {
  return spots.length === 0 ? null : spots.reduce((sum, { rank }) => sum + rank, 0) / spots.length;
}

/** Gives everything its place; the height of the whole. */
function place(columns) {
  const heightOf = ({ name }) => (name === null ? LANE : BOX.height);
  const heights = columns.map((column) => column.reduce((sum, spot) => sum + heightOf(spot) + BETWEEN_BOXES, -BETWEEN_BOXES));
  const height = Math.max(0, ...heights);
  columns.forEach((column, layer) => {
    let y = MARGIN + (height - heights[layer]) / 2;
    for (const spot of column) {
      spot.x = MARGIN + layer * (BOX.width + BETWEEN_LAYERS);
      spot.y = Math.round(y);
      y += heightOf(spot) + BETWEEN_BOXES;
    }
  });
  return height + 2 * MARGIN;
}

/** From the right of the first to the left of the last, straight through the layers between them. */
function pathThrough(spots) {
  const middle = ({ name, y }) => y + (name === null ? LANE : BOX.height) / 2;
  let path = `M${spots[0].x + BOX.width},${middle(spots[0])}`;
  for (let index = 1; index < spots.length; index += 1) {
    const [from, to] = [spots[index - 1], spots[index]];
    const [x, bend] = [from.x + BOX.width, (to.x - from.x - BOX.width) / 2];
    path += `C${x + bend},${middle(from)} ${to.x - bend},${middle(to)} ${to.x},${middle(to)}`;
    if (to.name === null) path += `H${to.x + BOX.width}`;
  }
  return path;
}
