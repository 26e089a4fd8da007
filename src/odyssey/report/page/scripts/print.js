// Paper: light, every figure drawn and as wide as the sheet, the first rows of the run table.

const PAPER_WIDTH = 690; // pixels of A4 between its margins
const PAPER_ROWS = 40;
const PAPER_COLUMNS = 9;
let beforePrint = null; // the theme to go back to

function printedRuns() {
  const columns = report.runs.columns.map((_, k) => k).filter((k) => runTable.shown.has(k)).slice(0, PAPER_COLUMNS);
  const order = runTable.order.slice(0, PAPER_ROWS);
  const rest = runTable.order.length - order.length;
  return el("div#printed-runs", null,
    el("table", null,
      el("thead", null, el("tr", null, columns.map((k) => el("th", { scope: "col" }, report.runs.columns[k].name)))),
      el("tbody", null, order.map((i) => el("tr", null,
        columns.map((k) => runCell(report.runs.rows[i][k], report.runs.columns[k])))))),
    rest > 0 && el("p.note", null, `The first ${PAPER_ROWS} of ${count(runTable.order.length, "run")}; the page itself and the table file beside it have all.`));
}

/** The browser waits for nothing here, so all of it happens at once; Plotly must have been loaded. */
addEventListener("beforeprint", () => {
  if (!report || beforePrint !== null) return;
  beforePrint = theTheme();
  document.documentElement.classList.add("printing");
  document.documentElement.dataset.theme = "light";
  byId("runs").append(printedRuns());
  for (const box of boxes.values()) {
    if (!window.Plotly) break;
    if (!box.plot.dataset.drawn) {
      box.asked = true;
      drawNow(window.Plotly, box);
    }
    const layout = plotlyLayout(box.figure);
    window.Plotly.react(box.plot, plotlySafe(box.figure.traces), { ...layout, autosize: false, width: PAPER_WIDTH }, { staticPlot: true });
  }
});

addEventListener("afterprint", () => {
  if (beforePrint === null) return;
  document.documentElement.classList.remove("printing");
  byId("printed-runs")?.remove();
  const theme = beforePrint;
  beforePrint = null;
  setTheme(theme); // draws the figures anew
});
