// The run table's body: only the rows in view are in the document, so that 5,000 stay quick.

const ROW = 34; // pixels, as in the style sheet
const SPARE = 12; // rows kept above and below the view

function runCell(cell, column) {
  const text = formatCell(cell, column.kind);
  if (column.key === "state") {
    return el("td", null, el(`span.state${BAD_STATES.has(cell) ? ".bad" : cell === "finished" ? ".done" : ""}`, null, text));
  }
  if (typeof cell === "string" && column.kind === "text" && verdictOf(cell)) return el("td", null, chip(cell));
  const mark = column.kind === "text" && typeof cell === "string" ? swatch(cell) : null;
  return el(`td${NUMERIC.has(column.kind) ? ".number" : ""}`, { title: text.length > 20 ? text : null }, mark, text);
}

function runRows() {
  const body = el("tbody");
  const head = el("thead");
  const widths = el("colgroup");
  const table = el("table.run-table", { "aria-labelledby": "runs-title" }, widths, head, body);
  const box = el("div.run-scroll.screen", { role: "region", "aria-label": "Runs; scrolls" }, table);
  const nothing = el("p.nothing", { hidden: true }, "No run is left. Loosen a filter above a column, or clear all.");
  let columns = [];
  let active = 0; // position in the order; the row that Tab reaches
  let drawn = ""; // what is in the document, to draw nothing twice
  let headingOf = null;
  const cache = new Map();

  function shape(makeHeading, makeFilter) {
    columns = report.runs.columns.map((_, k) => k).filter((k) => runTable.shown.has(k));
    headingOf = makeHeading;
    for (const k of columns) if (!cache.has(k)) cache.set(k, columnWidth(k));
    widths.replaceChildren(...columns.map((k) => el("col", { style: { width: `${cache.get(k)}px` } })));
    table.style.width = `${columns.reduce((sum, k) => sum + cache.get(k), 0)}px`;
    head.replaceChildren(el("tr"), el("tr.filters", null, columns.map(makeFilter)));
    headings();
  }

  function headings() {
    const focused = document.activeElement?.closest?.("th")?.dataset.column;
    head.firstChild.replaceChildren(...columns.map(headingOf));
    if (focused) head.querySelector(`th[data-column="${CSS.escape(focused)}"] button`)?.focus();
  }

  function refresh() {
    active = 0;
    drawn = "";
    box.scrollTop = 0;
    nothing.hidden = runTable.order.length > 0;
    table.setAttribute("aria-rowcount", runTable.order.length + 2);
    draw();
  }

  function draw() {
    const total = runTable.order.length;
    const visible = Math.ceil(innerHeight / ROW); // the box is never higher
    const first = Math.max(0, Math.min(Math.floor(box.scrollTop / ROW), total - visible) - SPARE);
    const last = Math.min(total, first + visible + 2 * SPARE);
    if (drawn === `${first} ${last}`) return;
    drawn = `${first} ${last}`;
    const hadFocus = body.contains(document.activeElement);
    const rows = [];
    for (let at = first; at < last; at++) rows.push(rowAt(at));
    body.replaceChildren(spacer(first), ...rows, spacer(total - last));
    if (hadFocus) focusActive();
    else keepReachable();
  }

  const spacer = (n) => el("tr.spacer", { "aria-hidden": "true", style: { height: `${n * ROW}px` } });

  function rowAt(at) {
    const run = runTable.order[at];
    return el(`tr.run${view.run === run ? ".open" : ""}`,
      { "data-run": run, "data-at": at, "aria-rowindex": at + 3, tabindex: at === active ? "0" : "-1" },
      columns.map((k) => runCell(report.runs.rows[run][k], report.runs.columns[k])));
  }

  const rowElement = (at) => body.querySelector(`tr[data-at="${at}"]`);

  /** Tab must reach a row even where the active one has been scrolled away. */
  function keepReachable() {
    if (rowElement(active)) return;
    body.querySelector("tr.run")?.setAttribute("tabindex", "0");
  }

  function focusActive() {
    const top = active * ROW;
    const room = box.clientHeight - head.offsetHeight;
    if (top < box.scrollTop) box.scrollTop = top;
    else if (top + ROW > box.scrollTop + room) box.scrollTop = top + ROW - room;
    draw();
    body.querySelectorAll('tr[tabindex="0"]').forEach((row) => row.setAttribute("tabindex", "-1"));
    const row = rowElement(active);
    row?.setAttribute("tabindex", "0");
    row?.focus({ preventScroll: true });
  }

  function keyPressed(event) {
    const row = event.target.closest("tr.run");
    if (!row) return;
    const page = Math.max(1, Math.floor(box.clientHeight / ROW) - 3);
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

  /** The open run is marked; Tab finds it. */
  function markOpen() {
    const at = runTable.order.indexOf(view.run);
    if (at >= 0) active = at;
    drawn = "";
    draw();
  }

  let waiting = false;
  box.addEventListener("scroll", () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      draw();
    });
  });
  body.addEventListener("click", (event) => {
    const row = event.target.closest("tr.run");
    if (!row || String(getSelection())) return; // a selection is for copying
    active = Number(row.dataset.at);
    go({ run: Number(row.dataset.run) });
  });
  body.addEventListener("keydown", keyPressed);
  addEventListener("resize", later(draw));
  return { element: el("div", null, box, nothing), shape, headings, refresh, markOpen, focusActive };
}
