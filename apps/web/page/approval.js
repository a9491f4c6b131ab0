// The question about calls that wait: approve all, some, with edited arguments, or none.

import { call, h } from "./dom.js";
import { sayable, title } from "./graph.js";

export class ApprovalView {
  constructor(turn, calls, later) {
    this.turn = turn;
    this.calls = new Map(calls.map((pending) => [pending.task, new CallView(turn, pending, () => this.update())]));
    this.approve = h("button", { type: "button", class: "primary", onclick: () => this.send(false) });
    this.decline = h("button", { type: "button", onclick: () => this.send(true) }, "Decline all");
    this.problem = h("p", { role: "alert", class: "problem" });
    this.actions = h("div", { class: "actions" }, this.approve, this.decline);
    this.legend = h("legend");
    this.element = h("fieldset", { class: "approval" }, this.legend,
      h("ul", {}, [...this.calls.values()].map((view) => view.element)),
      later.map(({ task, words }) => h("p", { class: "help later" },
        `Step ${task} is written from results, and you are asked about it then: ${words}`)),
      this.problem, this.actions);
    this.update();
  }

  get open() {
    return [...this.calls.values()].filter((view) => view.decision === null);
  }

  decided(task, approved, edits) {
    this.calls.get(task)?.settle(approved, edits);
    this.update();
  }

  close() {
    for (const view of this.open) view.settle(false, {}, "not called");
    this.update();
  }

  update() {
    const open = this.open;
    const chosen = open.filter((view) => view.chosen);
    this.element.classList.toggle("settled", open.length === 0);
    this.legend.textContent = open.length
      ? `${open.length === 1 ? "This waits" : `These ${open.length} wait`} for your approval`
      : "What you decided";
    this.actions.hidden = open.length === 0;
    this.approve.disabled = chosen.length === 0;
    this.approve.textContent = open.length === 1 ? "Approve"
      : chosen.length === open.length ? `Approve all ${open.length}`
        : chosen.length === 0 ? "Approve" : `Approve ${chosen.length}, decline ${open.length - chosen.length}`;
    this.decline.textContent = open.length === 1 ? "Decline" : "Decline all";
  }

  async send(none) {
    this.problem.textContent = "";
    const decisions = {};
    try {
      for (const view of this.open) {
        const approved = !none && view.chosen;
        decisions[view.pending.task] = { approved, edits: approved ? view.edits() : {} };
      }
      this.approve.disabled = this.decline.disabled = true;
      await call("POST", `/api/turns/${this.turn}/decisions`, { decisions });
    } catch (error) {
      this.problem.textContent = error.message;
    } finally {
      this.decline.disabled = false;
      this.update();
    }
  }
}

class CallView {
  constructor(turn, pending, onchange) {
    this.pending = pending;
    this.decision = null;
    const id = `call-${turn}-${pending.task}`;
    const foreign = [...pending.arguments, ...pending.facts].some(({ untrusted }) => untrusted);
    const risky = foreign && pending.kind === "sends"; // what stays in the home can be undone
    this.box = h("input", { type: "checkbox", id, checked: !risky, onchange });
    this.fields = pending.arguments.map((argument) => new ArgumentView(id, argument));
    this.outcome = h("span", { class: "outcome" });
    this.warning = h("p", { class: "warning", hidden: !foreign },
      risky ? "Other people's words are in it. Read them, then tick the box to approve." : "Other people's words are in it.");
    this.details = h("details", { open: foreign },
      h("summary", {}, `Arguments of ${title(pending.tool).toLowerCase()}`),
      h("dl", {},
        pending.facts.map((fact) => told(fact, h("span", { class: "value" }, fact.value))),
        this.fields.map((field) => field.element)));
    this.element = h("li", {},
      h("div", { class: "call" }, this.box,
        h("label", { for: id }, h("span", { class: `kind ${pending.kind}` }, pending.kind), " ", sayable(pending)), this.outcome),
      this.warning, this.details);
  }

  get chosen() {
    return this.box.checked;
  }

  edits() {
    return Object.fromEntries(this.fields.filter((field) => field.edited).map((field) => [field.name, field.value()]));
  }

  settle(approved, edits, words) {
    this.decision = approved;
    this.box.checked = approved;
    this.box.disabled = true;
    this.warning.hidden = true;
    this.details.open = false;
    this.outcome.textContent = words ?? (approved ? "approved" : "declined");
    this.outcome.className = `outcome ${approved ? "yes" : "no"}`;
    for (const field of this.fields) field.settle(edits);
  }
}

class ArgumentView {
  constructor(id, argument) {
    this.name = argument.name;
    this.original = argument.value;
    this.input = null;
    const shown = h("span", { class: "value" }, spell(argument.value));
    const label = `${id}-${argument.name}`;
    this.edit = h("button", {
      type: "button", class: "small", "aria-label": `Edit ${argument.name}`,
      onclick: () => {
        this.input = h("textarea", { id: label, rows: Math.min(6, spell(this.original).split("\n").length), "aria-label": argument.name });
        this.input.value = spell(this.original);
        shown.replaceWith(this.input);
        this.edit.hidden = true;
        this.input.focus();
      },
    }, "Edit");
    this.shown = shown;
    this.element = told(argument, shown,
      argument.waits_for.length > 0 && h("p", { class: "help" },
        `The result of step ${argument.waits_for.join(" and of step ")} is filled in when it is there`),
      argument.written_from !== null && h("p", { class: "help" }, `Written for you from “${argument.written_from}”`), this.edit);
  }

  get edited() {
    return this.input !== null && this.input.value !== spell(this.original);
  }

  value() {
    const text = this.input.value;
    if (typeof this.original === "string") return text;
    if (isTexts(this.original)) return text.split("\n").map((line) => line.trim()).filter(Boolean);
    try {
      return JSON.parse(text);
    } catch {
      if (this.original === null) return text;
      throw new Error(`${this.name} must be like ${JSON.stringify(this.original)}.`);
    }
  }

  settle(edits) {
    this.edit.hidden = true;
    if (this.name in edits) this.shown.textContent = spell(edits[this.name]);
    if (this.input) this.input.replaceWith(this.shown);
    this.input = null;
  }
}

// A fact or an argument under its name, marked where others wrote it.
function told({ name, untrusted }, ...shown) {
  return h("div", { class: untrusted ? "untrusted" : null },
    h("dt", {}, name.replace(/_/g, " "), untrusted && h("span", { class: "flag" }, "written by others")),
    h("dd", {}, shown));
}

const isTexts = (value) => Array.isArray(value) && value.every((item) => typeof item === "string");

function spell(value) {
  if (value === null) return "";
  if (typeof value === "string") return value;
  return isTexts(value) ? value.join("\n") : JSON.stringify(value);
}
