// The run table's head: search, filters, sorting. Which rows are left, and in which order.

const runTable = {
  shown: new Set(), // indices of columns
  filters: new Map(), // column -> what was typed
  search: "",
  sorted: -1,
  direction: 0,
  everything: false, // or only the runs of the comparison that is looked at
  order: [], // indices of rows
};

/** All that can be searched of a run: its cells, its settings, its command and its error. */
const searchTexts = once(() => {
  const { columns, rows } = report.runs;
  const { changed, error, path, command } = report.details;
  return rows.map((row, i) => {
    const cells = row.map((cell, k) => (isEmpty(cell) ? "" : `${cell} ${formatCell(cell, columns[k].kind)}`));
    const settings = Object.entries(changed[i] ?? {}).map(([key, value]) => `${key}=${settingText(value)}`);
    return [...cells, ...settings, command[i], error[i], path[i]].join("\n").toLowerCase();
  });
});

function runOrder() {
  const { columns, rows, comparison } = report.runs;
  const tests = [];
  if (!runTable.everything && report.comparisons.length > 0) tests.push((i) => comparison[i] === view.comparison);
  for (const [k, text] of runTable.filters) {
    const test = columnFilter(text, columns[k].kind);
    if (test) tests.push((i) => test(rows[i][k]));
  }
  const search = searchFilter(runTable.search);
  if (search) tests.push((i) => search(searchTexts()[i]));
  let order = rows.map((_, i) => i).filter((i) => tests.every((test) => test(i)));
  const k = runTable.sorted;
  if (k >= 0 && runTable.direction) order = sortedOrder(order, (i) => rows[i][k], columns[k].kind, runTable.direction);
  return order;
}

/** How many runs the scope has before any filter. */
function scopeSize() {
  if (runTable.everything) return report.runs.rows.length;
  return report.runs.comparison.filter((c) => c === view.comparison).length;
}

function scopeSwitch(changed) {
  const outside = report.runs.comparison.some((c) => c !== view.comparison);
  if (!outside || report.comparisons.length === 0) {
    runTable.everything = report.comparisons.length === 0;
    return null;
  }
  const items = [{ key: "this", name: "This comparison" }, { key: "all", name: "All runs" }];
  return switcher("Runs", items, runTable.everything ? "all" : "this", (key) => {
    runTable.everything = key === "all";
    changed();
  });
}

function runHeading(k, changed) {
  const column = report.runs.columns[k];
  const button = el("button", { type: "button", title: column.name }, column.name);
  button.addEventListener("click", () => {
    runTable.direction = runTable.sorted === k ? nextDirection(runTable.direction) : 1;
    runTable.sorted = k;
    changed();
  });
  return el(`th${NUMERIC.has(column.kind) ? ".number" : ""}`, {
    scope: "col",
    "aria-sort": ARIA_SORT[runTable.sorted === k ? runTable.direction : 0],
    "data-column": column.key,
  }, button);
}

function filterField(k, changed) {
  const column = report.runs.columns[k];
  const field = el("input", {
    type: "text", value: runTable.filters.get(k) ?? "", spellcheck: "false", autocomplete: "off",
    placeholder: NUMERIC.has(column.kind) ? ">  <  =" : "filter",
    "aria-label": `Filter ${column.name}`, title: FILTER_HELP, "data-filter": column.key,
  });
  field.addEventListener("input", later(() => {
    runTable.filters.set(k, field.value);
    changed();
  }));
  return el("td", null, field);
}

/** The section of the page. Stays while metrics change; `draw` brings it up to date. */
function runsSection() {
  report.runs.columns.forEach((column, i) => column.shown && runTable.shown.add(i));
  const search = el("input.search", {
    type: "search", placeholder: "Search runs, settings, errors", "aria-label": "Search runs", id: "search",
  });
  const counted = el("p.counted", { "aria-live": "polite" });
  const scope = el("div.scope");
  const clear = el("button.small", { type: "button" }, "Clear filters");
  const rows = runRows();
  const redo = () => {
    runTable.order = runOrder();
    const all = scopeSize();
    counted.textContent = runTable.order.length === all ? count(all, "run") : `${grouped(runTable.order.length)} of ${count(all, "run")}`;
    clear.hidden = !runTable.search && ![...runTable.filters.values()].some((text) => text);
    rows.refresh();
  };
  const reshape = () => {
    rows.shape((k) => runHeading(k, resort), (k) => filterField(k, redo));
    redo();
  };
  const resort = () => {
    rows.headings();
    redo();
  };
  const rescope = () => {
    scope.replaceChildren(...[scopeSwitch(() => { rescope(); redo(); })].filter(Boolean));
  };
  search.addEventListener("input", later(() => {
    runTable.search = search.value;
    redo();
  }));
  clear.addEventListener("click", () => {
    runTable.filters.clear();
    runTable.search = search.value = "";
    reshape();
  });
  const columns = () => report.runs.columns.map((_, k) => k).filter((k) => runTable.shown.has(k));
  const copy = copyButton("Copy as CSV", () => asCsv(
    columns().map((k) => report.runs.columns[k]),
    runTable.order.map((i) => columns().map((k) => report.runs.rows[i][k]))), "Copy these runs as CSV");
  const section = el("section#runs", { "aria-labelledby": "runs-title" }, el("h2#runs-title", null, "Runs"),
    el("div.run-tools.screen", null, search, scope, columnChooser(runTable.shown, reshape), copy, clear, counted),
    rows.element,
    el("details.help.screen", null, el("summary", null, "What can be typed above a column"), el("p", null, FILTER_HELP)));
  return { section, draw: () => { rescope(); reshape(); }, rows };
}
