// The plan as a graph. Wide: layers from left to right, each call right of what it needs. Narrow, or too
// deep for the width: a row for each call, with arcs from what it needs at the side.

import { s } from "./dom.js";

const NODE = { width: 236, min: 148, height: 54, bend: 8, gapX: 46, gapY: 14 };
const ROW = { height: 50, gap: 10, rail: 13 };
const MARGIN = 3;

export const STATES = {
  planned: ["○", "planned"],
  waiting: ["?", "waits for you"],
  running: ["◌", "running"],
  ok: ["✓", "done"],
  failed: ["✕", "failed"],
  declined: ["–", "declined"],
  skipped: ["↷", "not called"],
  cancelled: ["■", "stopped"],
};

/** Where each call stands: `{width, height, nodes: Map(id -> {x, y, width, height}), edges: [{from, to, d}]}`. */
export function layout(tasks, available) {
  const layers = layersOf(tasks);
  const columns = arrange(layers, tasks);
  const space = available - 2 * MARGIN - (columns.length - 1) * NODE.gapX;
  const width = Math.min(NODE.width, Math.floor(space / columns.length));
  return width >= NODE.min ? layered(tasks, columns, layers, width) : rows(tasks, available);
}

/** Draw `tasks` into `svg`, whose size is set; `onpick(id)` when a call is chosen with a pointer. */
export function draw(svg, tasks, available, onpick) {
  const placed = layout(tasks, available);
  svg.setAttribute("viewBox", `0 0 ${placed.width} ${placed.height}`);
  svg.setAttribute("width", placed.width);
  svg.setAttribute("height", placed.height);
  svg.setAttribute("aria-label", describe(tasks));
  const done = new Map(tasks.map((task) => [task.task, task.state === "ok"]));
  svg.replaceChildren(
    ...placed.edges.map((edge) => s("path", { d: edge.d, class: done.get(edge.from) ? "edge done" : "edge" })),
    ...tasks.map((task) => node(task, placed.nodes.get(task.task), onpick)),
  );
}

/** `get_email_address` as "Get email address". */
export function title(tool) {
  const words = tool.replace(/[_\-.]+/g, " ").trim();
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** What a call does, in words; where these begin with the tool's name, that as words too. */
export function sayable({ tool, words }) {
  return words.startsWith(tool) ? title(tool) + words.slice(tool.length) : words;
}

function layersOf(tasks) {
  const layers = new Map();
  for (const task of tasks) {
    const needed = task.needs.filter((k) => layers.has(k)).map((k) => layers.get(k) + 1);
    layers.set(task.task, Math.max(0, ...needed));
  }
  return layers;
}

/**
 * The columns, each ordered so that calls stand near what they need and what needs them. An edge over
 * several layers has a place of its own in each column between, so that it runs behind no call.
 */
function arrange(layers, tasks) {
  const columns = [];
  const items = new Map();
  const add = (id, layer, height) => {
    const item = { id, height, before: [], after: [], place: 0 };
    (columns[layer] ??= []).push(item);
    items.set(id, item);
  };
  const join = (a, b) => {
    items.get(a).after.push(items.get(b));
    items.get(b).before.push(items.get(a));
  };
  for (const task of tasks) add(task.task, layers.get(task.task), NODE.height);
  for (const task of tasks) {
    for (const k of task.needs.filter((need) => layers.has(need))) {
      let previous = k;
      for (let layer = layers.get(k) + 1; layer < layers.get(task.task); layer += 1) {
        const between = bend(k, task.task, layer);
        add(between, layer, NODE.bend);
        join(previous, between);
        previous = between;
      }
      join(previous, task.task);
    }
  }
  columns.forEach(settle);
  for (let i = 0; i < 6; i += 1) {
    for (const column of columns.slice(1)) sweep(column, "before");
    for (const column of columns.slice(0, -1).reverse()) sweep(column, "after");
  }
  return columns;
}

const bend = (from, to, layer) => `${from}-${to}@${layer}`;
const tall = (column) => column.reduce((sum, item) => sum + item.height + NODE.gapY, -NODE.gapY);

/** Say where the middles of a column's items are, from the column's own middle. */
function settle(column) {
  let y = -tall(column) / 2;
  for (const item of column) {
    item.place = y + item.height / 2;
    y += item.height + NODE.gapY;
  }
}

function sweep(column, side) {
  const wish = new Map(column.map((item) => {
    const near = item[side].map((other) => other.place);
    return [item, near.length ? near.reduce((a, b) => a + b, 0) / near.length : item.place];
  }));
  column.sort((a, b) => wish.get(a) - wish.get(b));
  settle(column);
}

function layered(tasks, columns, layers, width) {
  const height = Math.max(...columns.map(tall));
  const places = new Map();
  columns.forEach((column, i) => {
    for (const item of column) {
      const y = MARGIN + height / 2 + item.place - item.height / 2;
      places.set(item.id, { x: MARGIN + i * (width + NODE.gapX), y, width, height: item.height });
    }
  });
  const edges = edgesOf(tasks, places, (a, b, from, to) => {
    const through = [];
    for (let layer = layers.get(from) + 1; layer < layers.get(to); layer += 1) through.push(places.get(bend(from, to, layer)));
    return curve([a, ...through, b]);
  });
  return { width: columns.length * (width + NODE.gapX) - NODE.gapX + 2 * MARGIN, height: height + 2 * MARGIN, nodes: places, edges };
}

/** From the right side of the first place to the left side of the last, straight through those between. */
function curve(stops) {
  const middle = (place) => place.y + place.height / 2;
  let d = `M${stops[0].x + stops[0].width} ${middle(stops[0])}`;
  for (let i = 1; i < stops.length; i += 1) {
    const [a, b] = [stops[i - 1], stops[i]];
    const half = a.x + a.width + NODE.gapX / 2;
    d += `C${half} ${middle(a)} ${half} ${middle(b)} ${b.x} ${middle(b)}`;
    if (i < stops.length - 1) d += `H${b.x + b.width}`;
  }
  return d;
}

function rows(tasks, available) {
  const index = new Map(tasks.map((task, i) => [task.task, i]));
  const spans = tasks.flatMap((task) => task.needs.filter((k) => index.has(k)).map((k) => index.get(task.task) - index.get(k)));
  const rails = Math.min(4, Math.max(0, ...spans));
  const left = MARGIN + rails * ROW.rail + (rails ? 6 : 0);
  const nodes = new Map(tasks.map((task, i) => [
    task.task,
    { x: left, y: MARGIN + i * (ROW.height + ROW.gap), width: Math.max(120, available - left - MARGIN), height: ROW.height },
  ]));
  const edges = edgesOf(tasks, nodes, (a, b, from, to) => {
    const out = Math.min(rails, index.get(to) - index.get(from)) * ROW.rail + 4;
    const [y1, y2] = [a.y + a.height / 2 + 6, b.y + b.height / 2 - 6];
    return `M${left} ${y1}C${left - out} ${y1} ${left - out} ${y2} ${left} ${y2}`;
  });
  return { width: available, height: tasks.length * (ROW.height + ROW.gap) - ROW.gap + 2 * MARGIN, nodes, edges };
}

function edgesOf(tasks, nodes, path) {
  return tasks.flatMap((task) => task.needs.filter((k) => nodes.has(k)).map((k) => ({
    from: k, to: task.task, d: path(nodes.get(k), nodes.get(task.task), k, task.task),
  })));
}

function node(task, at, onpick) {
  const [mark, state] = STATES[task.state];
  const room = at.width - 44;
  const number = `${task.task}`;
  return s("g", { class: `node ${task.state}`, transform: `translate(${at.x} ${at.y})`, onclick: () => onpick(task.task) },
    s("title", {}, `${number}. ${sayable(task)} (${state})`),
    s("rect", { width: at.width, height: at.height, rx: 9 }),
    s("text", { class: "mark", x: 18, y: at.height / 2, "dominant-baseline": "central", "text-anchor": "middle" }, mark),
    s("text", { class: "tool", x: 34, y: at.height / 2 - 9, "dominant-baseline": "central" }, cut(`${number} ${title(task.tool)}`, room, "600 13px")),
    s("text", { class: "state", x: 34, y: at.height / 2 + 10, "dominant-baseline": "central" }, cut(detail(task, state), room, "12px")),
  );
}

function detail(task, state) {
  if (task.state === "ok" && task.text) return task.text.replace(/\s+/g, " ");
  return task.state === "planned" && task.needs.length ? `after ${task.needs.join(", ")}` : state;
}

const pen = document.createElement("canvas").getContext("2d");

/** As much of `text` as there is room for, in pixels. */
function cut(text, room, font) {
  pen.font = `${font} ${getComputedStyle(document.body).fontFamily}`;
  const fits = (shown) => pen.measureText(shown).width <= room;
  const characters = [...text.slice(0, 80)];
  if (fits(text)) return text;
  while (characters.length > 1 && !fits(`${characters.join("").trimEnd()}…`)) characters.pop();
  return `${characters.join("").trimEnd()}…`;
}

function describe(tasks) {
  const parts = tasks.map((task) => {
    const needs = task.needs.length ? ` after ${task.needs.join(" and ")}` : "";
    return `${task.task}, ${title(task.tool)}${needs}: ${STATES[task.state][1]}`;
  });
  return `Plan of ${tasks.length} ${tasks.length === 1 ? "call" : "calls"}. ${parts.join(". ")}.`;
}
