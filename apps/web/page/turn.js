// One request and what becomes of it: question, plan, approvals, answer.

import { ApprovalView } from "./approval.js";
import { h, s, sentence } from "./dom.js";
import { STATES, draw, sayable } from "./graph.js";

export class TurnView {
  constructor(number, query) {
    this.number = number;
    this.tasks = new Map();
    this.approvals = [];
    this.text = "";
    this.ended = false;
    this.svg = s("svg", { role: "img" });
    this.steps = h("ol", { class: "steps" });
    this.summary = h("summary");
    this.details = h("details", { class: "more" }, this.summary, this.steps);
    this.plan = h("figure", { class: "plan", hidden: true }, h("div", { class: "canvas" }, this.svg), this.details);
    this.asked = h("div");
    this.progress = h("p", { class: "progress" });
    this.answer = h("div", { class: "answer", hidden: true });
    this.element = h("article", { "aria-labelledby": `turn-${number}` },
      h("h2", { id: `turn-${number}`, class: "query" }, query),
      this.progress, this.plan, this.asked, this.answer);
    this.say("Planning…");
  }

  /** Take an event in; gives what a screen reader is to be told, if anything. */
  take(event) {
    switch (event.type) {
      case "planning": this.say("Planning…"); break;
      case "task": this.planned(event); break;
      case "plan": event.tasks.forEach((task) => this.planned(task)); break;
      case "preparing": this.say(`Preparing step ${event.task}…`); break;
      case "started": this.change(event.task, { state: "running", words: event.words }); break;
      case "finished": return this.finished(event);
      case "approval": return this.ask(event);
      case "decided":
        this.approvals.forEach((view) => view.decided(event.task, event.approved, event.edits));
        if (this.tasks.get(event.task)?.state === "waiting") this.change(event.task, { state: "planned" });
        break;
      case "approval_given": this.say("Working…"); break;
      case "answering": this.say("Writing the answer…"); break;
      case "answer_text": this.text += event.text; this.write(this.text); break;
      case "replanned": this.text = ""; this.say("Planning again…"); break;
      case "ended": return this.end(event);
    }
    return "";
  }

  /** Draw what is new for the width that there is. */
  draw() {
    const tasks = [...this.tasks.values()];
    this.plan.hidden = tasks.length === 0;
    if (!tasks.length) return;
    const width = Math.floor(this.svg.parentElement.clientWidth);
    if (width) draw(this.svg, tasks, width, (task) => this.show(task));
    const done = tasks.filter((task) => task.state === "ok").length;
    this.summary.textContent = `${tasks.length === 1 ? "1 step" : `${tasks.length} steps`}, ${done} done`;
  }

  planned(task) {
    if (this.tasks.has(task.task)) return;
    const item = { ...task, state: "planned", text: "" };
    item.head = h("span");
    item.body = h("pre", { hidden: true });
    item.note = h("p", { class: "flag", hidden: true }, "Other people’s words may be in it");
    item.element = h("li", { value: task.task, tabindex: "-1" }, item.head, item.note, item.body);
    this.steps.append(item.element);
    this.tasks.set(task.task, item);
    this.change(task.task, {});
    this.say("Working…");
  }

  change(number, changes) {
    const task = this.tasks.get(number);
    if (!task) return;
    Object.assign(task, changes);
    const [mark, state] = STATES[task.state];
    const time = task.seconds >= 0.05 ? `, ${task.seconds.toFixed(1)} s` : "";
    task.head.replaceChildren(
      h("span", { class: `state ${task.state}`, "aria-hidden": "true" }, mark), ` ${number}. ${sayable(task)} `, h("span", { class: "help" }, `${state}${time}`));
    task.body.hidden = !task.text;
    task.body.textContent = task.text;
    task.note.hidden = !(task.state === "ok" && task.untrusted);
  }

  finished(event) {
    this.change(event.task, {
      state: event.status, text: event.error ? event.error.message : event.text,
      seconds: event.seconds, untrusted: event.untrusted,
    });
    return event.status === "failed" ? `Step ${event.task} failed: ${event.error.message}` : "";
  }

  ask({ calls, later }) {
    const view = new ApprovalView(this.number, calls, later);
    this.approvals.push(view);
    this.asked.append(view.element);
    calls.forEach((pending) => this.change(pending.task, { state: "waiting" }));
    this.say("");
    return `Your approval is needed. ${calls.map(sayable).join(". ")}`;
  }

  end(event) {
    this.ended = true;
    this.say("");
    this.approvals.forEach((view) => view.close());
    for (const task of this.tasks.values()) {
      if (["planned", "waiting", "running"].includes(task.state)) this.change(task.task, { state: "cancelled" });
    }
    this.write(event.answer);
    if (event.error) this.answer.append(h("p", { class: "problem" }, sentence(event.error.message)));
    this.answer.hidden = !this.answer.childNodes.length;
    return event.error ? sentence(event.error.message) : event.answer;
  }

  show(number) {
    this.details.open = true;
    this.tasks.get(number).element.focus();
  }

  say(text) {
    this.progress.textContent = text;
    this.progress.hidden = !text;
  }

  write(text) {
    this.answer.replaceChildren(...(text ? [h("p", { class: "text" }, text)] : []));
    this.answer.hidden = !text;
  }
}
