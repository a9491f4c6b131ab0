// The plan as a graph. Wide: layers from left to right, each call right of what it needs. Narrow, or too
// deep for the width: a row for each call, with arcs from what it needs at the side.

import { s } from "./dom.js";

const NODE = { width: 196, min: 148, height: 54, gapX: 46, gapY: 14 };
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
  return width >= NODE.min ? layered(tasks, columns, width) : rows(tasks, available);
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

function layersOf(tasks) {
  const layers = new Map();
  for (const task of tasks) {
    const needed = task.needs.filter((k) => layers.has(k)).map((k) => layers.get(k) + 1);
    layers.set(task.task, Math.max(0, ...needed));
  }
  return layers;
}

/** The columns, each ordered so that calls stand near what they need and what needs them. */
function arrange(layers, tasks) {
  const columns = [];
  for (const task of tasks) (columns[layers.get(task.task)] ??= []).push(task);
  const users = new Map(tasks.map((task) => [task.task, []]));
  for (const task of tasks) for (const k of task.needs) users.get(k)?.push(task.task);
  const place = new Map();
  const settle = (column) => column.forEach((task, i) => place.set(task.task, i - (column.length - 1) / 2));
  columns.forEach(settle);
  const sweep = (order, neighbours) => {
    for (const column of order) {
      const wish = new Map(column.map((task) => [task, mean(neighbours(task), place) ?? place.get(task.task)]));
      column.sort((a, b) => wish.get(a) - wish.get(b));
      settle(column);
    }
  };
  for (let i = 0; i < 4; i += 1) {
    sweep(columns.slice(1), (task) => task.needs);
    sweep(columns.slice(0, -1).reverse(), (task) => users.get(task.task));
  }
  return columns;
}

function mean(ids, place) {
  const known = ids.filter((k) => place.has(k)).map((k) => place.get(k));
  return known.length ? known.reduce((a, b) => a + b, 0) / known.length : null;
}

function layered(tasks, columns, width) {
  const tallest = Math.max(...columns.map((column) => column.length));
  const height = tallest * (NODE.height + NODE.gapY) - NODE.gapY;
  const nodes = new Map();
  columns.forEach((column, i) => {
    const top = MARGIN + (height - (column.length * (NODE.height + NODE.gapY) - NODE.gapY)) / 2;
    column.forEach((task, j) => {
      const x = MARGIN + i * (width + NODE.gapX);
      nodes.set(task.task, { x, y: top + j * (NODE.height + NODE.gapY), width, height: NODE.height });
    });
  });
  const edges = edgesOf(tasks, nodes, (a, b) => {
    const [x1, y1, x2, y2] = [a.x + a.width, a.y + a.height / 2, b.x, b.y + b.height / 2];
    const bend = NODE.gapX * 0.6;
    return `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`;
  });
  return { width: columns.length * (width + NODE.gapX) - NODE.gapX + 2 * MARGIN, height: height + 2 * MARGIN, nodes, edges };
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
    s("title", {}, `${number}. ${task.words} (${state})`),
    s("rect", { width: at.width, height: at.height, rx: 9 }),
    s("text", { class: "mark", x: 18, y: at.height / 2, "dominant-baseline": "central", "text-anchor": "middle" }, mark),
    s("text", { class: "tool", x: 34, y: at.height / 2 - 9, "dominant-baseline": "central" }, cut(`${number} ${title(task.tool)}`, room, 7.1)),
    s("text", { class: "state", x: 34, y: at.height / 2 + 10, "dominant-baseline": "central" }, cut(detail(task, state), room, 6.3)),
  );
}

function detail(task, state) {
  if (task.state === "ok" && task.text) return task.text.replace(/\s+/g, " ");
  return task.state === "planned" && task.needs.length ? `after ${task.needs.join(", ")}` : state;
}

function cut(text, room, perCharacter) {
  const n = Math.max(4, Math.floor(room / perCharacter));
  const characters = [...text];
  return characters.length <= n ? text : `${characters.slice(0, n - 1).join("")}…`;
}

function describe(tasks) {
  const parts = tasks.map((task) => {
    const needs = task.needs.length ? ` after ${task.needs.join(" and ")}` : "";
    return `${task.task}, ${title(task.tool)}${needs}: ${STATES[task.state][1]}`;
  });
  return `Plan of ${tasks.length} ${tasks.length === 1 ? "call" : "calls"}. ${parts.join(". ")}.`;
}
