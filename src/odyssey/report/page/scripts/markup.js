// Plotly reads its texts as a small HTML. Labels are the user's, so they are made plain first.

const ALLOWED = /^<(?:br\s*\/?|\/?(?:b|i|sub|sup|extra))>/i; // what the figures themselves write
const PLAIN_KEYS = new Set(["name", "x", "y", "z", "labels", "ids", "legendgroup", "categoryarray"]);

/** The names of variants that read like markup, of which not even <b> may pass for a tag. */
const markedNames = once(() => Object.keys(report.palette).filter((name) => /[<&]/.test(name)));

/** Text that Plotly shows as it stands; tags of the figures' own stay where `plain` is false. */
function plotlyText(text, plain = false) {
  if (!/[<&]/.test(text)) return text;
  const name = plain ? undefined : markedNames().find((name) => text.includes(name));
  if (name) return text.split(name).map((part) => plotlyText(part)).join(plotlyText(name, true));
  return text
    .replace(/&(?=#?\w+;)/g, "&amp;")
    .replace(/</g, (sign, at, whole) => (!plain && ALLOWED.test(whole.slice(at, at + 9)) ? sign : "&lt;"));
}

/** A copy of traces or layout with every text in it made safe, and infinities left out of numbers. */
function plotlySafe(value, key = "") {
  if (typeof value === "string") return plotlyText(value, PLAIN_KEYS.has(key));
  if (Array.isArray(value)) {
    if (value.length && value.every((v) => typeof v === "number" || v === null)) return value.slice();
    const numbers = value.some((v) => typeof v === "number");
    return value.map((v) => (numbers && (v === "inf" || v === "-inf") ? null : plotlySafe(v, key)));
  }
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, v]) => [name, plotlySafe(v, name)]));
}
