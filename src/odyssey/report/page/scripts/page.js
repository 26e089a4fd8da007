// The top of the page: what differs, by how much, how sure; then what it rests on.

const LEAD_FIGURE = "differences";
const MANY = 12; // variants in the answer before the rest is folded away

function headline(metric) {
  const items = metric.headline.map((item, i) =>
    el(`li.verdict${i >= MANY ? ".folded" : ""}`, null,
      el("span.who", null, swatch(item.variant, item.colour), el("strong", null, item.variant)),
      chip(item.word), el("p", null, item.sentence)));
  const list = el("ol.headline", null, items);
  if (items.length === 0) return el("p.callout", null, "There is nothing to compare here yet; the notes below say why.");
  if (items.length <= MANY) return list;
  const more = el("button.small.more", { type: "button", "aria-expanded": "false" }, `Show the other ${items.length - MANY}`);
  more.addEventListener("click", () => {
    list.classList.add("open");
    more.remove();
  });
  return el("div", null, list, more);
}

const notesBox = (title, sentences, kind) =>
  sentences.length > 0 && el(`section.notes.${kind}`, null, el("h3", null, title),
    el("ul", null, sentences.map((sentence) => el("li", null, sentence))));

/** What each factor of a grid does: lines of what a sentence is about, and the sentence. */
function factorsBox(factors) {
  if (!factors) return null;
  return el("section.factors", null, el("h3", null, `Factors: ${factors.name}`),
    el("dl", null, factors.sentences.map(([what, said]) =>
      el("div", null, el("dt", null, what), el("dd", null, said)))),
    factors.about && el("p.note", null, factors.about));
}

function factsBox(comparison) {
  if (!comparison.facts.length) return null;
  return el("section.notes.facts", null, el("h3", null, "What was compared"),
    el("dl", null, comparison.facts.map(([label, value]) =>
      el("div", null, el("dt", null, label), el("dd", null, formatCell(value))))));
}

function switches() {
  const found = [];
  if (report.comparisons.length > 1) {
    const items = report.comparisons.map((c) => ({ key: c.key, name: c.title }));
    found.push(switcher("Study", items, theComparison().key, (comparison) => go({ comparison, run: null })));
  }
  if (theComparison().metrics.length > 1) {
    const items = theComparison().metrics.map((m) => ({ key: m.key, name: m.name }));
    found.push(switcher("Metric", items, theMetric().key, (metric) => go({ metric })));
  }
  return found.length > 0 && el("div.switches", null, found);
}

/** The sections that depend on the comparison and the metric, in one element. */
function drawView() {
  const [comparison, metric] = [theComparison(), theMetric()];
  if (!comparison) {
    return el("div#view", null, el("p.callout", null, "No runs that could be compared were found."));
  }
  const basis = el("div.basis", null, factsBox(comparison),
    notesBox("Read it with this in mind", [...(metric?.notes ?? []), ...comparison.notes], "mind"),
    notesBox("Set apart, not pooled", comparison.apart, "apart"));
  if (!metric) {
    return el("div#view", null, el("section#answer", null, switches(), el("h2", null, comparison.title),
      el("p.callout", null, "No run of this comparison has a result yet.")), basis);
  }
  const lead = metric.figures.find((f) => f.key === LEAD_FIGURE);
  const verdicts = metric.tables.find((t) => t.key.includes("verdict")) ?? metric.tables[0];
  const tables = metric.tables.filter((t) => t !== verdicts);
  const figures = metric.figures.filter((f) => f !== lead);
  return el("div#view", null,
    el("section#answer", { "aria-labelledby": "answer-title" }, switches(),
      el("h2#answer-title", null, comparison.title),
      el("p.measure", null, el("b", null, metric.name), ` · ${metric.part} · ${metric.better} is better`,
        comparison.better_note && ` · ${comparison.better_note}`),
      factorsBox(metric.factors),
      el(`div.lead${lead ? "" : ".alone"}`, null, headline(metric), lead && figureBox(lead)),
      verdicts && tableBox(verdicts), basis),
    figures.length > 0 && el("section#figures", null, el("h2", null, "Figures"),
      el("p.hint.screen", null, "A click on a point that stands for a run opens that run."),
      el("div.figures", null, figures.map((f) => figureBox(f)))),
    tables.length > 0 && el("section#tables", null, el("h2", null, "Tables"), tables.map(tableBox)));
}
// What several comparisons say together: above the single ones, and the same for all of them.

function tasksSection() {
  const over = report.over;
  if (!over) return null;
  return el("section#tasks", { "aria-labelledby": "tasks-title" },
    el("h2#tasks-title", null, "Over all tasks"),
    el("p.measure", null, over.tasks.join(" · ")),
    el("ul.together", null, over.sentences.map((sentence) => el("li", null, sentence))),
    el("div.figures", null, over.figures.map((f) => figureBox(f))),
    over.tables.map(tableBox),
    notesBox("Read it with this in mind", over.notes, "mind"));
}
// The head of the page, how the study was run, and what the numbers mean.

function titleBlock() {
  const runs = report.runs.rows.length;
  return el("header.title", null, el("h1", null, report.title),
    el("p.made", null, [
      count(runs, "run"),
      report.comparisons.length > 1 ? count(report.comparisons.length, "comparison") : null,
      report.made && `made ${formatTime(report.made)}`,
      report.version && `Odyssey ${report.version}`,
    ].filter(Boolean).join(" · ")));
}

/** One block of "How this was run". Content: text or lines of code, rows of a table, or a list. */
function howBlock(block) {
  const content = block.content;
  const lines = Array.isArray(content) ? content : [content];
  const flat = (line) => (Array.isArray(line) ? line.join("  ") : settingText(line ?? ""));
  if (block.kind === "code") {
    const text = lines.map(flat).join("\n");
    return el("section.how", null, el("h3", null, block.title),
      el("div.code", null, el("pre", null, el("code", null, text)), copyButton("Copy", text, `Copy ${block.title}`)));
  }
  if (block.kind === "table") {
    const shaped = Array.isArray(content) ? { rows: content } : content;
    const names = (shaped.columns ?? []).map((c) => (typeof c === "object" ? c.name : c));
    return el("section.how", null, el("h3", null, block.title),
      el("div.scroll", { tabindex: "0", role: "region", "aria-label": block.title }, el("table.plain", null,
        names.length > 0 && el("thead", null, el("tr", null, names.map((name) => el("th", { scope: "col" }, name)))),
        el("tbody", null, shaped.rows.map((row) => el("tr", null, row.map((cell) => el("td", null, formatCell(cell)))))))));
  }
  const body = block.kind === "list"
    ? el("ul", null, lines.map((line) => el("li", null, flat(line))))
    : lines.map((line) => el("p", null, flat(line)));
  return el("section.how", null, el("h3", null, block.title), body);
}

const howSection = () =>
  report.how.length > 0 && el("section#how", null, el("h2", null, "How this was run"), report.how.map(howBlock));

const methodsSection = () =>
  report.methods.length > 0 && el("section#methods", null, el("h2", null, "What the numbers mean"),
    el("div.methods", null, report.methods.map((method) =>
      el("article.method", null, el("h3", null, method.name),
        el("p", null, el("b", null, "Says "), method.says),
        el("p", null, el("b", null, "Cannot say "), method.cannot),
        method.source && el("p.source", null, method.source)))));

const NAV = [["tasks", "All tasks"], ["answer", "Answer"], ["figures", "Figures"], ["tables", "Tables"], ["runs", "Runs"], ["how", "How"], ["methods", "Methods"]];

/** The address is the view's, so the links to sections scroll and leave it as it is. */
function drawNav() {
  const links = NAV.filter(([id]) => byId(id)).map(([id, name]) =>
    el("a", {
      href: `#${id}`,
      onclick: (event) => {
        event.preventDefault();
        byId(id).scrollIntoView({ behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
      },
    }, name));
  document.querySelector(".nav").replaceChildren(...links);
}
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
        columns.map((k) => fillRunCell(el("td"), report.runs.rows[i][k], report.runs.columns[k])))))),
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
// Start: read the data, draw the answer, then load the libraries.

let runsPart = null;
let drawnView = ""; // the comparison and metric that are on the page

function show() {
  readAddress();
  const changed = drawnView.split(" ")[0] !== String(view.comparison);
  const wanted = `${view.comparison} ${view.metric}`;
  if (wanted !== drawnView) {
    const old = byId("view");
    forgetFigures(old);
    sortable.forget(old);
    old.replaceWith(drawView());
    drawnView = wanted;
    drawNav();
  }
  if (!runsPart) return;
  if (changed) runsPart.draw();
  drawDrawer();
  runsPart.markOpen();
}

function trouble(problem) {
  const line = byId("trouble");
  line.textContent = `This page could not be drawn. ${problem?.message ?? problem}`;
  line.hidden = false;
}

/** Once the browser has painted what is there. */
const painted = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));

async function start() {
  startTheme();
  report = JSON.parse(await inflated("data"));
  byId("main").append(...[titleBlock(), tasksSection(), el("div#view")].filter(Boolean));
  byId("foot").append(...[howSection(), methodsSection()].filter(Boolean));
  show(); // the answer stands; now the heavy parts
  await painted();
  runsPart = runsSection(await loadTables());
  drawNav();
  runsPart.draw();
  show();
  addEventListener("hashchange", show);
  document.documentElement.dataset.ready = "yes";
  await painted();
  await loadPlotly();
}

start().catch(trouble);
