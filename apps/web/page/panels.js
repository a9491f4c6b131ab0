// History and settings.

import { $, call, h } from "./dom.js";
import { STATES, title } from "./graph.js";

for (const button of document.querySelectorAll("[data-close]")) {
  button.addEventListener("click", () => button.closest("dialog").close());
}

export async function openHistory() {
  $("history-status").textContent = "";
  $("history").showModal();
  await fill($("history-list"), "/api/history", entry, "Nothing was asked yet.");
  await fill($("action-list"), "/api/actions", action, "Nothing was written or sent.");
}

async function fill(list, path, item, nothing) {
  list.replaceChildren();
  try {
    const found = await call("GET", path);
    list.replaceChildren(...found.map(item));
    if (!found.length) list.append(h("li", { class: "help" }, nothing));
  } catch (error) {
    list.append(h("li", { class: "problem" }, error.message));
  }
}

/** Show the model that is used, and give the settings. */
export async function loadSettings() {
  const settings = await call("GET", "/api/settings");
  $("model").textContent = settings.model.split("/").pop();
  $("promise").hidden = !settings.is_asking;
  $("speak").hidden = !settings.speech;
  return settings;
}

export async function openSettings() {
  $("settings-problem").textContent = "";
  $("settings").showModal();
  try {
    show(await loadSettings());
  } catch (error) {
    $("settings-problem").textContent = error.message;
  }
}

$("settings-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const save = $("save");
  $("settings-problem").textContent = "";
  save.disabled = true;
  save.textContent = "Loading…";
  try {
    await call("PATCH", "/api/settings", {
      model: $("set-model").value.trim(),
      home: $("set-home").value.trim(),
      instructions: $("set-instructions").value,
      tools_off: [...document.querySelectorAll("#tools input:not(:checked)")].map((box) => box.value),
    });
    $("settings").close();
  } catch (error) {
    $("settings-problem").textContent = error.message;
  } finally {
    save.disabled = false;
    save.textContent = "Save";
  }
});

function show(settings) {
  $("set-model").value = settings.model;
  $("set-home").value = settings.home;
  $("set-instructions").value = settings.instructions;
  $("kept").textContent = settings.kept_in ? `What you change is kept in ${settings.kept_in}.` : "Changes last until plait serve ends.";
  $("model-help").textContent = settings.base_url
    ? `Any model of ${settings.base_url}.`
    : "A model of the catalog, which is downloaded if it is not there, or a GGUF file.";
  $("models").replaceChildren(...settings.models.map((model) =>
    h("option", { value: model.name }, `${size(model.size_bytes)}${model.installed ? ", installed" : ""}`)));
  $("tools").replaceChildren(...settings.tools.map((tool) =>
    h("li", {},
      h("input", { type: "checkbox", id: `tool-${tool.name}`, value: tool.name, checked: tool.on, "aria-describedby": `about-${tool.name}` }),
      h("label", { for: `tool-${tool.name}` }, title(tool.name), " ", h("span", { class: `kind ${tool.kind}` }, tool.kind)),
      h("p", { class: "help", id: `about-${tool.name}` }, tool.description.split("\n")[0]))));
}

function entry(turn) {
  const calls = turn.tasks.map((task) => h("li", {},
    h("span", { class: `state ${task.status}`, "aria-hidden": "true" }, STATES[task.status][0]),
    ` ${title(task.tool)} `, h("span", { class: "help" }, STATES[task.status][1])));
  return h("li", {},
    h("h4", {}, turn.query),
    turn.tasks.length > 0 && h("ul", {}, calls),
    h("p", { class: turn.error ? "problem" : "text" }, turn.error ? turn.error.message : turn.answer));
}

function action(done) {
  const name = title(done.tool);
  const state = done.undone_at ? "undone" : STATES[done.status][1];
  const item = h("li", {},
    h("p", { class: "text" }, done.text || name),
    h("p", { class: "help" }, `${name}, ${state}, ${new Date(done.at).toLocaleString()}`));
  if (done.undo) {
    const button = h("button", { type: "button", "aria-label": `Undo ${name}` }, "Undo");
    button.addEventListener("click", () => takeBack(done.id, button));
    item.append(button);
  }
  return item;
}

async function takeBack(number, button) {
  const status = $("history-status");
  button.disabled = true;
  try {
    status.textContent = (await call("POST", `/api/actions/${number}/undo`)).text;
    await fill($("action-list"), "/api/actions", action, "Nothing was written or sent.");
    $("history").querySelector("[data-close]").focus();
  } catch (error) {
    status.textContent = error.message;
    button.disabled = false;
  }
}

function size(bytes) {
  return bytes ? `${(bytes / 1e9).toFixed(1)} GB` : "size unknown";
}
