// Elements by hand. Text is only ever put in as text, so that nothing a tool or a model says becomes HTML.

const SVG = "http://www.w3.org/2000/svg";

/** An element with attributes (`on...` are listeners, booleans set or leave out) and children. */
export function h(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** The same in SVG. */
export function s(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

/** With a capital and a full stop. */
export function sentence(text) {
  const begun = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}

export const $ = (id) => document.getElementById(id);

/** Ask the server; what it refuses is an Error with its sentence. A Blob is sent as it is, all else as JSON. */
export async function call(method, path, body) {
  const kind = body instanceof Blob ? body.type : "application/json";
  let answer;
  try {
    answer = await fetch(path, {
      method,
      headers: body === undefined ? {} : { "content-type": kind },
      body: body === undefined || body instanceof Blob ? body : JSON.stringify(body),
    });
  } catch {
    throw new Error("plait serve does not answer; is it still running?");
  }
  if (answer.ok) return answer.status === 204 ? null : answer.json();
  throw new Error(await problem(answer));
}

async function problem(answer) {
  const text = await answer.text();
  try {
    const document = JSON.parse(text);
    if (document.error) return document.error.message;
    if (document.detail) return [].concat(document.detail).map((d) => d.msg ?? String(d)).join("; ");
  } catch {
    // not JSON: the text itself says it
  }
  return text.trim() || `The server answered ${answer.status}.`;
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}
