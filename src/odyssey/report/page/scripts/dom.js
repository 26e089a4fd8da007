// Building elements. Text is always a text node: nothing of the user's is ever parsed as HTML.

/** el("p.note#id", {title: "…", onclick: f}, "text", element, …); null and false children are left out. */
function el(what, attributes, ...children) {
  const [, tag, rest] = what.match(/^([a-z0-9]+)(.*)$/);
  const element = document.createElement(tag);
  for (const [, kind, name] of rest.matchAll(/([.#])([\w-]+)/g)) {
    if (kind === "#") element.id = name;
    else element.classList.add(name);
  }
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [k, v] of Object.entries(value)) element.style.setProperty(k, v);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const byId = (id) => document.getElementById(id);
const isNarrow = () => matchMedia("(max-width: 640px)").matches;

/** A word or two for those who listen to the page. */
function say(text) {
  byId("said").textContent = text;
}

/** Wait until the typing has paused. */
function later(action, milliseconds = 120) {
  let timer = 0;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => action(...values), milliseconds);
  };
}

/** Only #rrggbb from the data may stand in a style. */
const safeColour = (colour) => (/^#[0-9a-f]{6}$/i.test(colour || "") ? colour : null);

function swatch(variant, colour) {
  const shade = safeColour(colour) || safeColour(report.palette[variant]);
  return shade ? el("span.swatch", { style: { background: shade }, "aria-hidden": "true" }) : null;
}
