// History and settings.

import { $, call, h } from "./dom.js";
import { STATES, title } from "./graph.js";

for (const button of document.querySelectorAll("[data-close]")) {
  button.addEventListener("click", () => button.closest("dialog").close());
}

export async function openHistory() {
  const list = $("history-list");
  list.replaceChildren();
  $("history").showModal();
  try {
    const turns = await call("GET", "/api/history");
    list.replaceChildren(...turns.map(entry));
    if (!turns.length) list.append(h("li", { class: "help" }, "Nothing was asked yet."));
  } catch (error) {
    list.append(h("li", { class: "problem" }, error.message));
  }
}

/** Show the model that is used, and give the settings. */
export async function loadSettings() {
  const settings = await call("GET", "/api/settings");
  $("model").textContent = settings.model.split("/").pop();
  $("promise").hidden = !settings.is_asking;
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
    h("h3", {}, turn.query),
    turn.tasks.length > 0 && h("ul", {}, calls),
    h("p", { class: turn.error ? "problem" : "text" }, turn.error ? turn.error.message : turn.answer));
}

function size(bytes) {
  return bytes ? `${(bytes / 1e9).toFixed(1)} GB` : "size unknown";
}
