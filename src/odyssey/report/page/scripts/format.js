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
