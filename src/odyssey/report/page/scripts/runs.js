// What may be typed above a column, and into the search field.

const FILTER_HELP =
  "lstm: has these letters · =lstm: is this · !=failed: is not · !gru: has not these letters · " +
  ">0.5, <=1e-3, 10..200: numbers · lstm|gru: either · = alone: empty · != alone: not empty";

/** A test of one cell, or null where nothing is asked. */
function columnFilter(text, kind) {
  const asked = text.trim();
  if (!asked) return null;
  const not = /^!=?/.exec(asked)?.[0] ?? "";
  // Of `!=failed|diverged` the reader means neither.
  const words = asked.slice(not.length).split("|").map((word) => word.trim());
  const tests = words.filter((word) => word || words.length === 1).map((word) => oneTest(word, kind, not));
  if (tests.some((test) => test === null)) return null;
  return not ? (cell) => !tests.some((test) => test(cell)) : (cell) => tests.some((test) => test(cell));
}

/** One alternative; after `!=` a word is a whole value, after `!` a part of one. */
function oneTest(text, kind, not) {
  const [, sign, rest] = /^(<=|>=|<|>|==?)?\s*([^]*)$/.exec(text);
  const number = toNumber(rest);
  if (sign === "=" || sign === "==" || not === "!=") {
    if (rest === "") return isEmpty;
    const small = rest.toLowerCase();
    return (cell) => (!isEmpty(cell) && !Number.isNaN(number) && toNumber(cell) === number) ||
      shownForms(cell, kind).includes(small);
  }
  if (sign) {
    if (rest === "") return null; // not yet typed in full
    const holds = { "<": (d) => d < 0, ">": (d) => d > 0, "<=": (d) => d <= 0, ">=": (d) => d >= 0 }[sign];
    if (Number.isNaN(number)) return (cell) => !isEmpty(cell) && holds(String(cell) < rest ? -1 : String(cell) > rest ? 1 : 0);
    return (cell) => {
      const x = toNumber(cell);
      return !Number.isNaN(x) && holds(x === number ? 0 : x - number);
    };
  }
  if (rest === "") return null;
  const range = /^(.+?)\s*\.\.\s*(.+)$/.exec(rest);
  if (range && NUMERIC.has(kind) && !range.slice(1).some((end) => Number.isNaN(toNumber(end)))) {
    const [low, high] = range.slice(1).map(toNumber);
    return (cell) => toNumber(cell) >= low && toNumber(cell) <= high;
  }
  const small = rest.toLowerCase();
  return (cell) => shownForms(cell, kind).some((form) => form.includes(small));
}

/** A cell as it is shown and as it is stored, in small letters. */
function shownForms(cell, kind) {
  if (isEmpty(cell)) return [];
  const forms = [formatCell(cell, kind).toLowerCase()];
  if (typeof cell !== "object") forms.push(String(cell).toLowerCase());
  return forms;
}

/** A test of a row's text: every word is in it, no -word is; "two words" stay together. */
function searchFilter(text) {
  const words = [...text.toLowerCase().matchAll(/(-?)(?:"([^"]*)"?|(\S+))/g)]
    .map(([, minus, quoted, word]) => ({ not: minus === "-", word: quoted ?? word }))
    .filter(({ word }) => word);
  if (!words.length) return null;
  return (line) => words.every(({ not, word }) => line.includes(word) !== not);
}
// The columns of the run table: how wide, which are shown.

const LETTER = 7.1; // pixels, in the table's type
const ROOM = 26; // beside the letters of a cell

/** Wide enough for nearly all cells and for the heading. */
function columnWidth(index) {
  const column = report.runs.columns[index];
  const rows = report.runs.rows;
  const step = Math.max(1, Math.floor(rows.length / 400)); // a sample will do
  let letters = 4;
  for (let i = 0; i < rows.length; i += step) {
    letters = Math.max(letters, formatCell(rows[i][index], column.kind).length);
  }
  const most = NUMERIC.has(column.kind) ? 16 : 34;
  const heading = Math.min(column.name.length, 22) * LETTER + ROOM + 14;
  const dot = column.key === "state" || rows.some((row) => Object.hasOwn(report.palette, row[index])) ? 18 : 0;
  return Math.round(Math.max(Math.min(letters, most) * LETTER + ROOM + dot, heading, 64));
}

/** A folded list of boxes; `changed` is called when the choice is another. */
function columnChooser(shown, changed) {
  const boxesOf = report.runs.columns.map((column, i) => {
    const box = el("input", { type: "checkbox", checked: shown.has(i) });
    box.addEventListener("change", () => {
      if (box.checked) shown.add(i);
      else shown.delete(i);
      changed();
    });
    return { box, label: el("label", null, box, column.name) };
  });
  const setAll = (wanted) => {
    boxesOf.forEach(({ box }, i) => {
      box.checked = wanted(i);
      if (box.checked) shown.add(i);
      else shown.delete(i);
    });
    changed();
  };
  const chooser = el("details.chooser", null, el("summary.small", null, "Columns"),
    el("div.chooser-list", null,
      el("div.chooser-heads", null,
        el("button.small", { type: "button", onclick: () => setAll(() => true) }, "All"),
        el("button.small", { type: "button", onclick: () => setAll((i) => report.runs.columns[i].shown) }, "As at first")),
      boxesOf.map(({ label }) => label)));
  const close = (event) => {
    if (event.type === "keydown" ? event.key === "Escape" : !chooser.contains(event.target)) chooser.open = false;
  };
  document.addEventListener("click", close);
  chooser.addEventListener("keydown", close);
  return chooser;
}
// The table: DataTables sorts and filters the runs and keeps only the rows in view in the document.

const ROW = 34; // pixels, as in the style sheet
const FILTER_ROW = 2; // head rows, before the first run

const runTable = {
  shown: new Set(), // indices of columns
  filters: new Map(), // column -> what was typed
  search: "",
  everything: false, // or only the runs of the comparison that is looked at
  order: [], // indices of the runs that are left, as they are sorted
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

/** A test of a run's index: its comparison, the filters above the columns, the search. */
function runFilter() {
  const { columns, rows, comparison } = report.runs;
  const tests = [];
  if (!runTable.everything && report.comparisons.length > 0) tests.push((i) => comparison[i] === view.comparison);
  for (const [k, text] of runTable.filters) {
    const test = columnFilter(text, columns[k].kind);
    if (test) tests.push((i) => test(rows[i][k]));
  }
  const search = searchFilter(runTable.search);
  if (search) tests.push((i) => search(searchTexts()[i]));
  return (i) => tests.every((test) => test(i));
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

/** Fill a cell of the run table; no text of a run is read as HTML. */
function fillRunCell(cell, value, column) {
  const text = formatCell(value, column.kind);
  if (column.key === "state") {
    cell.append(el(`span.state${BAD_STATES.has(value) ? ".bad" : value === "finished" ? ".done" : ""}`, null, text));
  } else if (typeof value === "string" && column.kind === "text" && verdictOf(value)) {
    cell.append(chip(value));
  } else {
    const mark = column.kind === "text" && typeof value === "string" ? swatch(value) : null;
    cell.classList.toggle("number", NUMERIC.has(column.kind));
    if (text.length > 20) cell.title = text;
    cell.append(...[mark, text].filter(Boolean));
  }
  return cell;
}

function filterField(k, changed) {
  const column = report.runs.columns[k];
  const field = el("input", {
    type: "text", spellcheck: "false", autocomplete: "off",
    placeholder: NUMERIC.has(column.kind) ? ">  <  =" : "filter",
    "aria-label": `Filter ${column.name}`, title: FILTER_HELP, "data-filter": column.key,
  });
  field.addEventListener("input", later(() => {
    runTable.filters.set(k, field.value);
    changed();
  }));
  return field;
}

/** The table, and what its rows answer to: a click, the arrow keys, Enter. */
function runRows(DataTable, changed) {
  const { columns, rows } = report.runs;
  const fields = columns.map((_, k) => filterField(k, changed));
  const table = el("table.run-table", { "aria-labelledby": "runs-title" }, el("thead", null,
    el("tr", null, columns.map((column) =>
      el(`th${NUMERIC.has(column.kind) ? ".number" : ""}`, { scope: "col", title: column.name, "data-column": column.key }, column.name))),
    el("tr.filters", null, fields.map((field) => el("td", { "data-dt-order": "disable" }, field)))));
  const box = el("div.run-scroll.screen", { role: "region", "aria-label": "Runs; scrolls" }, table);
  const nothing = el("p.nothing", { hidden: true }, "No run is left. Loosen a filter above a column, or clear all.");
  let active = 0; // position in the order; the row that Tab reaches
  let wanted = false; // whether the active row is to have the focus once it is there
  let keep = () => true;
  let dt = null;

  /** After DataTables has put other rows into the document. */
  function drawn() {
    if (!dt) return;
    runTable.order = dt.rows({ order: "applied", search: "applied" }).indexes().toArray();
    const first = dt.page.info().start;
    table.setAttribute("aria-rowcount", runTable.order.length + FILTER_ROW);
    body().querySelectorAll("tr.run").forEach((row, i) => {
      row.dataset.at = first + i;
      row.setAttribute("aria-rowindex", first + i + FILTER_ROW + 1);
      row.classList.toggle("open", Number(row.dataset.run) === view.run);
    });
    keepReachable();
    if (wanted) rowElement(active)?.focus({ preventScroll: true });
  }

  const body = () => table.tBodies[0];
  const scroller = () => table.closest(".dt-scroll-body");
  const rowElement = (at) => body().querySelector(`tr[data-at="${at}"]`);

  /** Tab must reach a row even where the active one has been scrolled away. */
  function keepReachable() {
    body().querySelectorAll('tr[tabindex="0"]').forEach((row) => row.setAttribute("tabindex", "-1"));
    (rowElement(active) ?? body().querySelector("tr.run"))?.setAttribute("tabindex", "0");
  }

  function focusActive() {
    const [view, top] = [scroller(), active * ROW];
    if (top < view.scrollTop) view.scrollTop = top;
    else if (top + ROW > view.scrollTop + view.clientHeight) view.scrollTop = top + ROW - view.clientHeight;
    wanted = true;
    if (!rowElement(active)) view.dispatchEvent(new Event("scroll")); // DataTables draws at once
    const row = rowElement(active);
    wanted = !row;
    keepReachable();
    row?.focus({ preventScroll: true });
  }

  function keyPressed(event) {
    const row = event.target.closest("tr.run");
    if (!row) return;
    const page = Math.max(1, Math.floor(scroller().clientHeight / ROW) - 1);
    const end = runTable.order.length - 1;
    const at = Number(row.dataset.at);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: end }[event.key];
    if (event.key === "Enter" || event.key === " ") go({ run: Number(row.dataset.run) });
    else if (to === undefined) return;
    else {
      active = Math.max(0, Math.min(end, to));
      focusActive();
    }
    event.preventDefault();
  }

  /** Sort and filter anew, from the top. */
  function refresh() {
    keep = runFilter();
    active = 0;
    dt.draw();
    scroller().scrollTop = 0;
    nothing.hidden = runTable.order.length > 0;
  }

  function start() {
    dt = new DataTable(table, {
      ...PLAIN_TABLE,
      paging: true,
      data: rows,
      columns: columns.map((column, k) => ({
        data: k,
        type: orderType(column.kind),
        visible: runTable.shown.has(k),
        searchable: false, // DataTables' own search reads HTML; ours is `keep`
        width: `${columnWidth(k)}px`,
        render: (cell, use) => (use === "display" ? "" : orderKey(cell, column.kind)),
        createdCell: (cell, value) => fillRunCell(cell, value, column),
      })),
      createdRow: (row, _, i) => {
        row.classList.add("run");
        row.dataset.run = i;
        row.tabIndex = -1;
      },
      drawCallback: () => drawn(),
      titleRow: 0,
      scrollX: true, scrollY: "min(68vh, 42rem)", scrollCollapse: true,
      scroller: { rowHeight: ROW, displayBuffer: 3 },
      language: { emptyTable: "", zeroRecords: "" },
    });
    dt.search.fixed("runs", (_, __, i) => keep(i));
    dt.on("order", () => (active = 0));
    table.addEventListener("click", (event) => {
      const row = event.target.closest("tr.run");
      if (!row || String(getSelection())) return; // a selection is for copying
      active = Number(row.dataset.at);
      go({ run: Number(row.dataset.run) });
    });
    table.addEventListener("keydown", keyPressed);
    addEventListener("resize", later(() => dt.columns.adjust()));
  }

  /** The open run is marked; Tab finds it. */
  function markOpen() {
    const at = runTable.order.indexOf(view.run);
    if (at >= 0) active = at;
    drawn();
  }

  function showColumns() {
    columns.forEach((_, k) => dt.column(k).visible(runTable.shown.has(k), false));
    dt.columns.adjust();
  }

  const clear = () => fields.forEach((field) => (field.value = ""));
  return { element: el("div", null, box, nothing), start, refresh, markOpen, focusActive, showColumns, clear };
}

/** The section of the page. Stays while metrics change; `draw` brings it up to date. */
function runsSection(DataTable) {
  report.runs.columns.forEach((column, i) => column.shown && runTable.shown.add(i));
  const search = el("input.search", {
    type: "search", placeholder: "Search runs, settings, errors", "aria-label": "Search runs", id: "search",
  });
  const counted = el("p.counted", { "aria-live": "polite" });
  const scope = el("div.scope");
  const clear = el("button.small", { type: "button" }, "Clear filters");
  const redo = () => {
    rows.refresh();
    const all = scopeSize();
    counted.textContent = runTable.order.length === all ? count(all, "run") : `${grouped(runTable.order.length)} of ${count(all, "run")}`;
    clear.hidden = !runTable.search && ![...runTable.filters.values()].some((text) => text);
  };
  const rows = runRows(DataTable, redo);
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
    rows.clear();
    redo();
  });
  const columns = () => report.runs.columns.map((_, k) => k).filter((k) => runTable.shown.has(k));
  const copy = copyButton("Copy as CSV", () => asCsv(
    columns().map((k) => report.runs.columns[k]),
    runTable.order.map((i) => columns().map((k) => report.runs.rows[i][k]))), "Copy these runs as CSV");
  const section = el("section#runs", { "aria-labelledby": "runs-title" }, el("h2#runs-title", null, "Runs"),
    el("div.run-tools.screen", null, search, scope, columnChooser(runTable.shown, rows.showColumns), copy, clear, counted),
    rows.element,
    el("details.help.screen", null, el("summary", null, "What can be typed above a column"), el("p", null, FILTER_HELP)));
  byId("main").append(section);
  rows.start(); // DataTables measures what is in the document
  return { draw: () => { rescope(); redo(); }, markOpen: rows.markOpen, focusActive: rows.focusActive };
}
