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
// Figures: drawn by Plotly when they come into view, in the colours of the theme.

// The page is offline: nothing may offer to upload a figure.
const MODE_BAR = { displaylogo: false, showSendToCloud: false, modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"] };
const boxes = new Map(); // element -> {element, figure, plot, asked}

/** What all figures share; their own layouts name no colour of text or ground. */
function plotlyTemplate() {
  const [ink, soft, line, strong, paper] = ["ink", "soft", "line", "line-strong", "paper"].map(cssColour);
  const axis = {
    automargin: true, gridcolor: line, linecolor: strong, zerolinecolor: strong, tickcolor: strong,
    tickfont: { color: soft }, title: { font: { color: soft, size: 12 }, standoff: 10 },
  };
  return {
    layout: {
      font: { family: getComputedStyle(document.body).fontFamily, size: isNarrow() ? 11 : 12, color: ink },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      colorway: Object.values(report.palette).filter(safeColour),
      xaxis: axis, yaxis: axis, margin: { l: 12, r: 12, t: 20, b: 12 },
      hovermode: "closest", hoverdistance: 12,
      hoverlabel: { bgcolor: paper, bordercolor: strong, font: { color: ink, size: 12 }, align: "left" },
      legend: { font: { color: ink }, bgcolor: "rgba(0,0,0,0)" },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: soft, activecolor: ink },
      annotationdefaults: { font: { color: soft } }, shapedefaults: { line: { color: strong } },
    },
  };
}

function plotlyLayout(figure) {
  const layout = plotlySafe(figure.layout);
  delete layout.width;
  delete layout.title; // it stands above the figure
  layout.template = plotlyTemplate();
  layout.autosize = true;
  layout.height ??= 420;
  if (isNarrow()) fitPhone(layout);
  // A finger that moves over a figure wants to scroll the page.
  if (matchMedia("(pointer: coarse)").matches) layout.dragmode = false;
  return layout;
}

/** The traces of a figure; on a phone cells have their short texts, and no bar of colours beside them. */
function plotlyTraces(figure) {
  const traces = withRunNames(plotlySafe(figure.traces));
  if (!isNarrow()) return traces;
  return traces.map((trace) => (trace.meta?.short ? { ...trace, text: trace.meta.short, showscale: false } : trace));
}

/** Legends below, long titles of axes in two lines, words over the variants upright. */
function fitPhone(layout) {
  layout.legend = { ...layout.legend, orientation: "h", x: 0, xanchor: "left", y: -0.22, yanchor: "top" };
  for (const [name, axis] of Object.entries(layout)) {
    if (/^xaxis/.test(name) && axis.title?.text?.length > 34) axis.title.text = axis.title.text.replace("; ", ";<br>");
  }
  const words = (layout.annotations ?? []).filter((note) => !note.showarrow && note.text);
  if (words.length <= 5) return;
  for (const note of words) Object.assign(note, { text: note.text.replace(/<br>/g, " "), textangle: -90 });
  layout.margin = { ...layout.margin, t: Math.max(layout.margin?.t ?? 0, 84) };
}

function plotlyConfig() {
  return { ...MODE_BAR, responsive: true, displayModeBar: isNarrow() ? false : "hover" };
}

/** The run that a point stands for: its `customdata`, or the first entry of it. */
function runOfPoint(point) {
  if (!point || point.pointNumber === undefined) return null; // a box itself, say
  const mark = Array.isArray(point.customdata) ? point.customdata[0] : point.customdata;
  return Number.isInteger(mark) && mark >= 0 && mark < report.runs.rows.length ? mark : null;
}

/** `gru-music-1a2b3c4d, trial 7, seed 0` of the run with that index. */
function nameOfRun(index) {
  const row = report.runs.rows[index];
  if (!row) return "";
  const keys = report.runs.columns.map((column) => column.key);
  const [name, trial, seed] = ["name", "trial", "seed"].map((key) => row[keys.indexOf(key)]);
  const said = (word, value) => (value === null || value === undefined ? [] : [`${word} ${value}`]);
  return [name, ...said("trial", trial), ...said("seed", seed)].join(", ");
}

/** The traces, with the run's name and seed at the end of each point's pointer text. */
function withRunNames(traces) {
  return traces.map((trace) => {
    const { customdata, hovertemplate: template } = trace;
    if (!template || !Array.isArray(customdata) || !customdata.some(Number.isInteger)) return trace;
    const text = customdata.map((index, place) => {
      const own = Array.isArray(trace.text) ? trace.text[place] : "";
      return [own, nameOfRun(index)].filter(Boolean).join("<br>");
    });
    const asked = template.includes("%{text}") ? template : template.replace("<extra>", "<br>%{text}<extra>");
    return { ...trace, text, hovertemplate: asked };
  });
}

async function drawFigure(box) {
  if (box.asked) return;
  box.asked = true;
  const Plotly = await loadPlotly();
  if (!boxes.has(box.element)) return; // another metric was chosen meanwhile
  drawNow(Plotly, box);
}

function drawNow(Plotly, box) {
  box.plot.replaceChildren();
  try {
    Plotly.newPlot(box.plot, plotlyTraces(box.figure), plotlyLayout(box.figure), plotlyConfig());
  } catch (problem) {
    box.plot.textContent = `This figure could not be drawn: ${problem.message}`;
    return;
  }
  box.plot.dataset.drawn = "yes";
  box.plot.on("plotly_click", (event) => {
    const run = runOfPoint(event.points[0]);
    if (run !== null) go({ run });
  });
  box.plot.on("plotly_hover", (event) => box.plot.classList.toggle("on-run", runOfPoint(event.points[0]) !== null));
  box.plot.on("plotly_unhover", () => box.plot.classList.remove("on-run"));
}

const seen = new IntersectionObserver(
  (entries) => entries.forEach((entry) => {
    const box = entry.isIntersecting && boxes.get(entry.target);
    if (box) drawFigure(box);
  }),
  { rootMargin: "500px 0px" },
);

/** A figure with its title and caption; drawn once it is near the window. */
function figureBox(figure) {
  const height = `${figure.layout.height ?? 420}px`;
  const plot = el("div.plot", { role: "img", "aria-label": figure.title, style: { "min-height": height } },
    el("span.waiting", null, "drawing…"));
  const element = el(`figure.figure${figure.wide ? ".wide" : ""}`, { "data-key": figure.key },
    el("h3", null, figure.title), plot, figure.caption && el("figcaption", null, figure.caption));
  boxes.set(element, { element, figure, plot, asked: false });
  seen.observe(element);
  return element;
}

/** Let go of the figures that leave the page. */
function forgetFigures(container) {
  for (const [element, box] of boxes) {
    if (!container.contains(element)) continue;
    seen.unobserve(element);
    if (box.plot.dataset.drawn) window.Plotly.purge(box.plot);
    boxes.delete(element);
  }
}

function redrawFigures() {
  for (const box of boxes.values()) {
    if (!box.plot.dataset.drawn) continue;
    window.Plotly.react(box.plot, plotlyTraces(box.figure), plotlyLayout(box.figure), plotlyConfig());
  }
}

themeWatchers.push(redrawFigures);
