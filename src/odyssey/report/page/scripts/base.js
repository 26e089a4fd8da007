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
// Numbers as a reader wants them, and as a program does.

const NUMERIC = new Set(["number", "integer", "share", "p", "interval"]);
const MINUS = "\u2212";

/** A cell's number: infinities come as words; nan where it is none. */
function toNumber(cell) {
  if (typeof cell === "number") return cell;
  if (cell === null || cell === undefined || cell === "") return NaN;
  if (typeof cell === "object") return toNumber(cell.value);
  if (typeof cell === "boolean") return NaN;
  const word = String(cell).trim().toLowerCase().replace(MINUS, "-").replace("∞", "inf");
  if (word === "inf" || word === "+inf") return Infinity;
  if (word === "-inf") return -Infinity;
  return word === "" ? NaN : Number(word);
}

const isEmpty = (cell) =>
  cell === null || cell === undefined || cell === "" ||
  (typeof cell === "object" && (cell.value === null || cell.value === undefined));

const withMinus = (text) => text.replace(/-/g, MINUS);

function infinite(x) {
  return x > 0 ? "∞" : `${MINUS}∞`;
}

/** `digits` significant ones; 8.530, 12,345, 1.2e−5. */
function formatNumber(x, digits = 4) {
  if (Number.isNaN(x)) return "";
  if (!Number.isFinite(x)) return infinite(x);
  if (x === 0) return "0";
  const size = Math.abs(x);
  if (size >= 1e9 || size < 1e-4) return withMinus(trimmedExponent(x.toExponential(Math.min(digits, 4) - 1)));
  if (Number.isInteger(x) || size >= 10 ** digits) return grouped(Math.round(x));
  const text = x.toPrecision(digits);
  return withMinus(text.includes("e") ? grouped(Math.round(x)) : text);
}

function trimmedExponent(text) {
  return text.replace(/\.?0*e\+?/, "e");
}

/** Thousands are set apart from five digits on: 2024 may be a seed. */
function grouped(x) {
  const text = Math.abs(x) >= 1e4 ? x.toLocaleString("en-US") : String(x);
  return withMinus(text);
}

function formatP(p, digits = 2) {
  if (Number.isNaN(p)) return "";
  if (p < 0.001) return "< 0.001";
  if (p > 0.995) return "> 0.99";
  return p < 0.1 ? p.toPrecision(digits) : p.toFixed(2);
}

function formatShare(x) {
  if (Number.isNaN(x)) return "";
  const percent = 100 * x;
  return `${withMinus(percent !== 0 && Math.abs(percent) < 9.95 ? percent.toFixed(1) : percent.toFixed(0))}%`;
}

/** An interval's numbers are as exact as its width lets them be: two digits of half of it. */
function formatInterval(cell, digits = 3) {
  const [value, low, high] = [toNumber(cell.value), toNumber(cell.low), toNumber(cell.high)];
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "" : infinite(value);
  const half = (high - low) / 2;
  if (Number.isNaN(half)) return formatNumber(value, digits);
  let show = (x) => formatNumber(x, digits);
  if (Number.isFinite(half) && half > 0 && Math.max(Math.abs(low), Math.abs(high)) < 1e6 && half >= 1e-6) {
    const places = Math.min(8, Math.max(0, 1 - Math.floor(Math.log10(half))));
    show = (x) => withMinus(x.toFixed(places)).replace(/^−(0(\.0+)?)$/, "$1");
  }
  return `${show(value)} [${show(low)}, ${show(high)}]`;
}

/** What a reader sees of a cell. */
function formatCell(cell, kind = "text", digits = undefined) {
  if (isEmpty(cell)) return "";
  if (typeof cell === "object") {
    if (kind === "share") {
      const [value, low, high] = [cell.value, cell.low, cell.high].map(toNumber);
      const band = Number.isNaN(low) || Number.isNaN(high) ? "" : ` [${formatShare(low)}, ${formatShare(high)}]`;
      return formatShare(value) + band;
    }
    return formatInterval(cell, digits);
  }
  const x = toNumber(cell);
  if (!NUMERIC.has(kind) || Number.isNaN(x)) return String(cell);
  if (kind === "p") return formatP(x);
  if (kind === "share") return formatShare(x);
  if (kind === "integer" && Number.isFinite(x)) return grouped(x);
  return formatNumber(x, digits);
}

/** "2026-11-22T06:10:00+00:00" as 22 Nov 2026, 06:10; as it stands where it is no time. */
function formatTime(text) {
  const found = /^(\d{4})-(\d\d)-(\d\d)[T ](\d\d:\d\d)/.exec(text || "");
  if (!found) return String(text || "");
  const month = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ")[found[2] - 1];
  const zone = /(Z|[+-]00:?00)$/.test(text) ? " UTC" : "";
  return `${Number(found[3])} ${month} ${found[1]}, ${found[4]}${zone}`;
}

const count = (n, word) => `${grouped(n)} ${word}${n === 1 ? "" : "s"}`;
// The blocks of the page that are stored as gzip in base64.

/** The text of a block, which is then let go: it is read once. */
async function inflated(id) {
  if (typeof DecompressionStream === "undefined") {
    throw new Error("This browser is too old for this page: it needs Chrome 80, Firefox 113, Safari 16.4 or newer.");
  }
  const block = byId(id);
  const packed = atob(block.textContent);
  block.remove();
  const bytes = new Uint8Array(packed.length);
  for (let i = 0; i < packed.length; i++) bytes[i] = packed.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

/** A function that does its work at the first call and hands the same promise to all. */
function once(action) {
  let promise = null;
  return () => (promise ??= action());
}

const loadCurves = once(async () => JSON.parse(await inflated("curves")));

/** Run the script of a block. */
async function loadScript(id) {
  const script = document.createElement("script");
  script.textContent = await inflated(id);
  document.head.append(script);
  script.remove();
}

const loadPlotly = once(async () => {
  await loadScript("plotly");
  if (!window.Plotly) throw new Error("Plotly did not start.");
  return window.Plotly;
});
// What is being looked at. The address says it, so that every view has a link and Back works.

let report = null; // the payload
const view = { comparison: 0, metric: 0, run: null };

const theComparison = () => report.comparisons[view.comparison];
const theMetric = () => theComparison()?.metrics[view.metric];

/** Set `view` from the address: #comparison=…&metric=…&run=17. What is unknown there is left out. */
function readAddress() {
  const asked = new URLSearchParams(location.hash.slice(1));
  const number = /^\d+$/.test(asked.get("run") || "") ? Number(asked.get("run")) : null;
  view.run = number !== null && number < report.runs.rows.length ? number : null;
  let comparison = report.comparisons.findIndex((c) => c.key === asked.get("comparison"));
  if (comparison < 0 && view.run !== null) comparison = report.runs.comparison[view.run] ?? -1;
  view.comparison = Math.max(0, comparison);
  const metrics = theComparison()?.metrics ?? [];
  view.metric = Math.max(0, metrics.findIndex((m) => m.key === asked.get("metric")));
}

/** The address of the view with `changes`: keys of a comparison and metric, a run's index or null. */
function addressOf(changes) {
  const next = { comparison: theComparison()?.key, metric: theMetric()?.key, run: view.run, ...changes };
  const words = new URLSearchParams();
  for (const key of ["comparison", "metric", "run"]) {
    if (next[key] !== null && next[key] !== undefined) words.set(key, next[key]);
  }
  return `#${words}`;
}

/** Go to another view; `hashchange` draws it. */
function go(changes) {
  location.hash = addressOf(changes);
}
// Light and dark: as the system has it, until the reader says otherwise.

const SYSTEM_DARK = matchMedia("(prefers-color-scheme: dark)");
const THEMES = ["auto", "light", "dark"];
const THEME_WORDS = { auto: "Auto", light: "Light", dark: "Dark" };
const themeWatchers = [];

const theTheme = () => document.documentElement.dataset.theme;
const isDark = () => theTheme() === "dark" || (theTheme() === "auto" && SYSTEM_DARK.matches);

function setTheme(name) {
  document.documentElement.dataset.theme = name;
  document.documentElement.classList.toggle("dark", isDark());
  const button = byId("theme");
  button.textContent = THEME_WORDS[name];
  const next = THEMES[(THEMES.indexOf(name) + 1) % THEMES.length];
  button.setAttribute("aria-label", `Colours: ${THEME_WORDS[name]}. Change to ${THEME_WORDS[next]}`);
  button.title = name === "auto" ? "Colours follow the system" : `Colours: ${name}`;
  themeWatchers.forEach((watcher) => watcher());
}

function startTheme() {
  let kept = "auto";
  try {
    kept = localStorage.getItem("odyssey-theme") || "auto";
  } catch {
    // A browser may give a file no storage; then the choice lasts as long as the page.
  }
  setTheme(THEMES.includes(kept) ? kept : "auto");
  byId("theme").addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(theTheme()) + 1) % THEMES.length];
    setTheme(next);
    try {
      localStorage.setItem("odyssey-theme", next);
    } catch {
      // As above.
    }
  });
  SYSTEM_DARK.addEventListener("change", () => theTheme() === "auto" && setTheme("auto"));
}

/** A colour of the style sheet, for Plotly, which knows no custom properties. */
const cssColour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
// A choice of one: buttons side by side where they fit, a list where they do not.

/** items: [{key, name}]; `chosen` is called with the key. */
function switcher(label, items, current, chosen) {
  const letters = items.reduce((sum, item) => sum + item.name.length + 3, 0);
  if (items.length > 5 || letters > (isNarrow() ? 30 : 72)) {
    const list = el("select", { "aria-label": label });
    items.forEach((item, i) => list.append(el("option", { value: i, selected: item.key === current }, item.name)));
    list.addEventListener("change", () => chosen(items[list.value].key));
    return el("label.switch", null, el("span.switch-label", null, label), list);
  }
  const buttons = items.map((item) =>
    el("button", {
      type: "button",
      "aria-pressed": String(item.key === current),
      onclick: () => chosen(item.key),
    }, item.name));
  return el("div.switch", { role: "group", "aria-label": label },
    el("span.switch-label", { "aria-hidden": "true" }, label), el("span.buttons", null, buttons));
}
