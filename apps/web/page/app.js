// The conversation: one stream of events comes in, requests go out. All that is shown follows from the
// stream, so that a page that was closed, or lost its connection, shows the same when it is back.

import { $, call, h } from "./dom.js";
import { loadSettings, openHistory, openSettings } from "./panels.js";
import { setUpSpeech } from "./speech.js";
import { TurnView } from "./turn.js";

const IDEAS = [
  "What is Maya Okafor's phone number?",
  "Remind me on Friday at 9 to water the plants",
  "Summarize budget-2027.pdf into a note called Budget",
];

const turns = new Map();
const changed = new Set();
let session = null;
let last = 0;
let running = null;
let drawing = false;
let replaying = true;

function connect() {
  const source = new EventSource("/api/events");
  source.addEventListener("hello", (event) => {
    const hello = JSON.parse(event.data);
    if (session !== null && hello.session !== session) reset();
    session = hello.session;
    tell("");
  });
  source.addEventListener("message", (event) => take(JSON.parse(event.data)));
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) {
      tell("plait serve does not let this page in any more. Open the link that it printed when it started.");
    } else {
      tell("The connection to plait serve is lost. If it was stopped, start it again; this page tries on.");
    }
  });
}

function take(event) {
  if (event.number <= last) return;
  last = event.number;
  if (event.type === "settings") return void loadSettings().catch((error) => tell(error.message));
  if (event.type === "cleared") return void clear();
  if (event.type === "request") begin(event);
  const view = turns.get(event.turn);
  if (!view) return;
  announce(view.take(event));
  if (event.type === "ended" && running === event.turn) run(null);
  changed.add(view);
  redraw();
}

function begin(event) {
  const view = new TurnView(event.turn, event.query);
  turns.set(event.turn, view);
  $("welcome").hidden = true;
  $("conversation").append(view.element);
  run(event.turn);
}

function clear() {
  for (const view of turns.values()) view.element.remove();
  turns.clear();
  $("welcome").hidden = false;
}

function reset() {
  clear();
  last = 0;
  run(null);
}

function run(turn) {
  running = turn;
  $("stop").hidden = turn === null;
  $("send").hidden = turn !== null;
  $("new").disabled = turn !== null;
  document.body.classList.toggle("busy", turn !== null);
}

function redraw() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    const scroller = document.scrollingElement;
    const follows = replaying || scroller.scrollHeight - scroller.scrollTop - innerHeight < 160;
    for (const view of changed) view.draw();
    changed.clear();
    if (follows) scroller.scrollTop = scroller.scrollHeight;
  });
}

/** What a screen reader is told; not what was before the page was opened. */
function announce(text) {
  if (text && !replaying) $("status").textContent = text;
}

function tell(text) {
  $("connection").textContent = text;
  $("connection").hidden = !text;
}

async function submit() {
  const box = $("request");
  const text = box.value.trim();
  if (!text || running !== null || $("send").disabled) return;
  $("problem").textContent = "";
  $("send").disabled = true;
  replaying = false;
  try {
    await call("POST", "/api/requests", { text, name: nameOf(text) });
    box.value = "";
    sent = null;
    grow();
  } catch (error) {
    $("problem").textContent = error.message;
  } finally {
    $("send").disabled = false;
    box.focus();
  }
}

// A request that is sent again because no answer came keeps its name, so that it is not done twice.
let sent = null;
function nameOf(text) {
  if (sent?.text !== text) {
    const random = crypto.getRandomValues(new Uint32Array(4));
    sent = { text, name: Array.from(random, (n) => n.toString(36)).join("") };
  }
  return sent.name;
}

function grow() {
  const box = $("request");
  box.style.height = "auto";
  box.style.height = `${Math.min(box.scrollHeight + 2, innerHeight / 3)}px`;
}

$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  void submit();
});
$("request").addEventListener("input", grow);
$("request").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    void submit();
  }
});
$("stop").addEventListener("click", () => {
  if (running !== null) call("POST", `/api/turns/${running}/cancel`).catch((error) => tell(error.message));
});
$("new").addEventListener("click", () => {
  call("POST", "/api/clear").then(() => $("request").focus(), (error) => tell(error.message));
});
$("open-history").addEventListener("click", openHistory);
$("open-settings").addEventListener("click", openSettings);
for (const type of ["keydown", "pointerdown"]) addEventListener(type, () => { replaying = false; });
addEventListener("resize", () => {
  for (const view of turns.values()) changed.add(view);
  redraw();
});
$("ideas").append(...IDEAS.map((idea) => h("li", {}, h("button", {
  type: "button",
  onclick: () => {
    $("request").value = idea;
    grow();
    $("request").focus();
  },
}, idea))));

/** Put what was said where the caret is, so that it can be mended before it is sent. */
function dictate(text) {
  const box = $("request");
  const [start, end] = [box.selectionStart, box.selectionEnd];
  const before = start > 0 && !/\s/.test(box.value[start - 1]) ? " " : "";
  const after = end < box.value.length && !/\s/.test(box.value[end]) ? " " : "";
  box.setRangeText(before + text + after, start, end, "end");
  grow();
  box.focus();
  $("status").textContent = `Heard: ${text}. Enter sends it.`;
}

run(null);
connect();
loadSettings().catch((error) => tell(error.message));
setUpSpeech({
  obstacle: async () => (await loadSettings()).speech?.obstacle ?? "",
  hear: dictate,
  say: (text) => { $("listening").textContent = text; $("status").textContent = text; },
  fail: (text) => { $("problem").textContent = text; },
});
