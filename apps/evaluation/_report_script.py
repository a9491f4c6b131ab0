"""What a report does in the browser: it lists the items, filters them and opens them."""

from __future__ import annotations

SCRIPT = """
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const PAGE = 200;
  const body = document.querySelector("#items tbody");
  const form = document.getElementById("filter");
  const count = document.getElementById("count");
  const more = document.getElementById("more");
  let found = [], shown = 0, waiting = 0;

  // Everything that came from a model or from data becomes text here, never markup.
  function el(tag, attributes, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) made.setAttribute(name, value);
    made.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
    return made;
  }
  const chip = (k) => el("span", { class: "chip r" + (k % data.n_colours) }, data.runs[k].letter);

  // The drawings were made, and their texts escaped, when the report was written.
  function drawing(index) {
    const holder = el("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "plan" });
    if (index < 0) holder.append(el("p", { class: "muted" }, "No calls."));
    else holder.innerHTML = data.drawings[index];
    return holder;
  }

  const word = (run) => run.error ? "error" : run.correct ? "right" : "wrong";

  function verdict(run) {
    const cell = el("td", { class: "verdict" });
    const said = !run ? "not tried" : word(run);
    const mark = { "not tried": "\\u2013", error: "!", right: "\\u2713", wrong: "\\u2717" }[said];
    const kind = !run ? "muted" : "mark " + (run.correct ? "right" : "wrong");
    cell.append(el("span", { class: kind, title: said, "aria-hidden": "true" }, mark));
    cell.append(el("span", { class: "sr" }, said));
    return cell;
  }

  function facts(pairs) {
    const list = el("dl");
    for (const [name, value] of pairs) {
      list.append(el("div", null, el("dt", null, name), el("dd", null, value)));
    }
    return list;
  }

  function folded(title, open, ...content) {
    const made = el("details", null, el("summary", null, title), ...content);
    made.open = open;
    return made;
  }

  function goldPanel(item) {
    const panel = el("section", { class: "panel" }, el("h3", null, "Right answer"));
    const { drawing: index, text } = item.gold;
    panel.append(index === undefined ? el("pre", null, text) : drawing(index));
    return panel;
  }

  function runPanel(run, k) {
    const panel = el("section", { class: "panel" });
    panel.append(el("h3", null, chip(k), " " + data.runs[k].label + ": ",
      el("span", { class: run.correct ? "right" : "wrong" }, word(run))));
    if (run.error) panel.append(el("p", { class: "wrong" }, run.error));
    if (run.detail) panel.append(el("p", null, run.detail));
    if (!run.parsed) panel.append(el("p", { class: "wrong" }, "The output could not be read as a plan."));
    panel.append(drawing(run.drawing));
    if (run.answer) panel.append(folded("Answer", true, el("pre", null, run.answer)));
    if (run.outputs.length) {
      const title = "Model output" + (run.outputs.length > 1 ? " of " + run.outputs.length + " calls" : "");
      panel.append(folded(title, false, ...run.outputs.map((text) => el("pre", null, text))));
    }
    panel.append(facts(run.facts));
    return panel;
  }

  function toggle(item, row, button) {
    const open = button.getAttribute("aria-expanded") === "true";
    button.setAttribute("aria-expanded", String(!open));
    if (open) { row.nextSibling.remove(); return; }
    const panels = el("div", { class: "panels" }, goldPanel(item));
    item.runs.forEach((run, k) => { if (run) panels.append(runPanel(run, k)); });
    const cell = el("td", { class: "detail", colspan: String(data.runs.length + 1) }, panels);
    row.after(el("tr", null, cell));
  }

  function itemRow(item) {
    const attributes = { type: "button", "aria-expanded": "false", dir: "auto" };
    const button = el("button", attributes, item.query || "(no request)");
    const row = el("tr", { class: "item" },
      el("th", { scope: "row" }, button,
        el("div", { class: "where" }, item.id + " \\u00b7 " + item.category)),
      ...item.runs.map(verdict));
    row.addEventListener("click", (event) => {
      if (event.target === button || !String(window.getSelection())) toggle(item, row, button);
    });
    return row;
  }

  function fits(item, words, category, which) {
    if (category && item.category !== category) return false;
    const tried = item.runs.filter(Boolean);
    if (which === "wrong" && tried.every((run) => run.correct)) return false;
    if (which === "differ" && new Set(tried.map((run) => run.correct)).size < 2) return false;
    if (which === "error" && !tried.some((run) => run.error)) return false;
    if (/^[0-9]+$/.test(which)) {
      const run = item.runs[Number(which)];
      if (!run || run.correct) return false;
    }
    return words.every((word) => item.haystack.includes(word));
  }

  function addPage() {
    const part = found.slice(shown, shown + PAGE);
    body.append(...part.map(itemRow));
    shown += part.length;
    more.hidden = shown >= found.length;
    more.textContent = "Show " + Math.min(PAGE, found.length - shown) + " more";
  }

  function filter() {
    const words = form.elements.text.value.toLowerCase().split(/\\s+/).filter(Boolean);
    const category = form.elements.category.value, which = form.elements.which.value;
    found = data.items.filter((item) => fits(item, words, category, which));
    shown = 0;
    body.replaceChildren();
    addPage();
    const all = data.items.length;
    count.textContent = (found.length === all ? "" : found.length + " of ") + all + " items";
  }

  for (const item of data.items) {
    const texts = [item.id, item.category, item.query];
    for (const run of item.runs) if (run) texts.push(run.detail, run.error, run.answer, ...run.outputs);
    item.haystack = texts.join("\\n").toLowerCase();
  }
  form.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(filter, 120); });
  form.addEventListener("submit", (event) => { event.preventDefault(); filter(); });
  more.addEventListener("click", () => {
    const next = shown;
    addPage();
    const button = body.querySelectorAll("tr.item button")[next];
    if (button) button.focus();
  });
  body.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step || !event.target.matches("tr.item button")) return;
    const buttons = [...body.querySelectorAll("tr.item button")];
    const to = buttons[buttons.indexOf(event.target) + step];
    if (to) { event.preventDefault(); to.focus(); }
  });
  filter();
})();
"""
