// The button for speaking. Held (pointer, Space or Enter), it listens until it is let go; pressed shortly, until it
// is pressed again. What was said is put into the request and not sent: a word that was misheard costs a whole plan.

import { $, call, sentence } from "./dom.js";
import { Recording } from "./microphone.js";

const HOLD_MS = 400;
const MAX_MS = 59_000;
const LISTENING = matchMedia("(hover: none)").matches
  ? "Listening… press again to end"
  : "Listening… press again to end, Escape drops it";

/** `obstacle` gives why nothing can be recognized, `hear` takes the words, `say` a state, `fail` a reason. */
export function setUpSpeech({ obstacle, hear, say, fail }) {
  const button = $("speak");
  let state = "idle"; // opening, listening, recognizing
  let recording = null;
  let beganAt = 0;
  let end = 0;
  let key = null;
  let attempt = 0;

  function change(next, text) {
    state = next;
    button.setAttribute("aria-pressed", String(next === "opening" || next === "listening"));
    button.setAttribute("aria-busy", String(next === "recognizing"));
    button.style.removeProperty("--level");
    say(text);
  }

  async function begin() {
    attempt += 1;
    const mine = attempt;
    const isOver = () => state !== "opening" || attempt !== mine;
    fail("");
    change("opening", "Opening the microphone…");
    try {
      const reason = await obstacle();
      if (reason) throw new Error(sentence(reason));
      call("POST", "/api/speech/prepare").catch(() => {}); // loads while one speaks; what is wrong is told below
      const opened = await Recording.begin((level) => button.style.setProperty("--level", level.toFixed(2)));
      if (isOver()) return void opened.close();
      recording = opened;
    } catch (error) {
      if (isOver()) return;
      change("idle", "");
      return void fail(error.message);
    }
    beganAt = performance.now();
    end = setTimeout(finish, MAX_MS);
    change("listening", LISTENING);
  }

  async function finish() {
    const file = letGo().end();
    change("recognizing", "Recognizing…");
    try {
      const { text } = await call("POST", "/api/speech", file);
      change("idle", "");
      if (text) hear(text);
      else fail("Nothing was understood. Speak a little longer, and closer to the microphone.");
    } catch (error) {
      change("idle", "");
      fail(sentence(error.message));
    }
  }

  function drop() {
    if (state === "listening") letGo().close();
    change("idle", "");
  }

  function letGo() {
    clearTimeout(end);
    const ended = recording;
    recording = null;
    return ended;
  }

  function press() {
    if (state === "idle") void begin();
    else if (state === "opening") drop();
    else if (state === "listening") void finish();
  }

  /** Let go: the end of what was held; a short press goes on listening. */
  function release() {
    if (state === "listening" && performance.now() - beganAt >= HOLD_MS) void finish();
  }

  let isHeld = false;
  button.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    button.setPointerCapture(event.pointerId);
    isHeld = state === "idle";
    press();
  });
  for (const type of ["pointerup", "pointercancel"]) {
    button.addEventListener(type, () => {
      if (isHeld) release();
      isHeld = false;
    });
  }
  button.addEventListener("keydown", (event) => {
    if (event.key !== " " && event.key !== "Enter") return;
    event.preventDefault();
    if (event.repeat || key) return;
    key = event.key;
    isHeld = state === "idle";
    press();
  });
  button.addEventListener("keyup", (event) => {
    if (event.key !== key) return;
    event.preventDefault();
    if (isHeld) release();
    key = null;
    isHeld = false;
  });
  button.addEventListener("blur", () => { key = null; });
  button.addEventListener("click", (event) => {
    if (event.detail === 0) press(); // a screen reader's, which presses nothing
  });
  button.addEventListener("contextmenu", (event) => event.preventDefault());
  addEventListener("keydown", (event) => {
    if (event.key === "Escape" && (state === "opening" || state === "listening")) drop();
  });
  addEventListener("pagehide", () => { if (state === "listening") drop(); });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden && state === "listening") void finish();
  });
}
