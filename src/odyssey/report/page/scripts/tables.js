// Copying: text, and tables as CSV, Markdown and LaTeX (booktabs).

/** Copy, and say so on the button for a moment. */
async function copyText(text, button) {
  let copied = true;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    copied = copyOldWay(text); // pages without the right, and browsers that give files none
  }
  const word = button.dataset.word || (button.dataset.word = button.textContent);
  button.textContent = copied ? "Copied" : "Not allowed";
  say(copied ? "Copied" : "The browser does not allow copying");
  setTimeout(() => (button.textContent = word), 1400);
}

function copyOldWay(text) {
  const area = el("textarea", { style: { position: "fixed", opacity: "0" } });
  area.value = text;
  document.body.append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  return copied;
}

function copyButton(word, text, label) {
  const button = el("button.small", { type: "button", "aria-label": label || null }, word);
  button.addEventListener("click", () => copyText(typeof text === "function" ? text() : text, button));
  return button;
}

const csvField = (cell) => {
  let text = isEmpty(cell) ? "" : String(cell);
  // A spreadsheet takes these for formulas; a name may be anything.
  if (/^[=+\-@\t\r]/.test(text) && Number.isNaN(toNumber(text))) text = `'${text}`;
  return /[",\r\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
};

/** Numbers in full; an interval is three columns. */
function asCsv(columns, rows) {
  const wide = columns.map((_, i) => rows.some((row) => row[i] !== null && typeof row[i] === "object"));
  const heading = columns.flatMap((c, i) => (wide[i] ? [c.name, `${c.name}, low`, `${c.name}, high`] : [c.name]));
  const cells = (row) =>
    row.flatMap((cell, i) => {
      if (!wide[i]) return [cell];
      return cell !== null && typeof cell === "object" ? [cell.value, cell.low, cell.high] : [cell, null, null];
    });
  return [heading, ...rows.map(cells)].map((line) => line.map(csvField).join(",")).join("\n") + "\n";
}

function asMarkdown(columns, rows) {
  const safe = (text) => text.replace(/([\\|`*_<>[\]])/g, "\\$1").replace(/\s+/g, " ");
  const line = (cells) => `| ${cells.map(safe).join(" | ")} |`;
  const rule = `|${columns.map((c) => (NUMERIC.has(c.kind) ? "---:" : "---")).join("|")}|`;
  const body = rows.map((row) => line(row.map((cell, i) => formatCell(cell, columns[i].kind, columns[i].digits))));
  return [line(columns.map((c) => c.name)), rule, ...body].join("\n") + "\n";
}

const LATEX = {
  "\\": "\\textbackslash{}", "&": "\\&", "%": "\\%", $: "\\$", "#": "\\#", _: "\\_", "{": "\\{", "}": "\\}",
  "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "<": "\\textless{}", ">": "\\textgreater{}",
  "\u2212": "$-$", "∞": "$\\infty$", "±": "$\\pm$", "≥": "$\\geq$", "≤": "$\\leq$",
};

function asLatex(columns, rows, caption) {
  const safe = (text) => text.replace(/[\\&%$#_{}~^<>−∞±≥≤]/g, (sign) => LATEX[sign]).replace(/\s+/g, " ");
  const line = (cells) => `${cells.map(safe).join(" & ")} \\\\`;
  const body = rows.map((row) => line(row.map((cell, i) => formatCell(cell, columns[i].kind, columns[i].digits))));
  return [
    "\\begin{table}", "\\centering", `\\caption{${safe(caption)}}`,
    `\\begin{tabular}{${columns.map((c) => (NUMERIC.has(c.kind) ? "r" : "l")).join("")}}`,
    "\\toprule", line(columns.map((c) => c.name)), "\\midrule", ...body, "\\bottomrule",
    "\\end{tabular}", "\\end{table}",
  ].join("\n") + "\n";
}
// The tables of the analysis: DataTables sorts them by a click on a heading.

const VERDICTS = {
  better: "better", promising: "better", worse: "worse", same: "same", baseline: "baseline",
  "no difference found": "open", "cannot tell": "open",
};

/** Its sort of verdict; "same within 0.05" is one too. Undefined for any other text. */
function verdictOf(text) {
  if (/^same within /.test(text)) return "same";
  return Object.hasOwn(VERDICTS, text) ? VERDICTS[text] : undefined;
}

const chip = (word) => el(`span.chip.${verdictOf(word) ?? "open"}`, null, word);

/** The states of runs, and the two that a reader must not overlook. */
const BAD_STATES = new Set(["diverged", "failed", "damaged"]);

/** By what a cell is sorted: a number, NaN where it is none; a text, "" where there is none. */
const orderKey = (cell, kind) => (NUMERIC.has(kind) ? toNumber(cell) : isEmpty(cell) ? "" : String(cell));
const orderType = (kind) => (NUMERIC.has(kind) ? "cell-number" : "cell-text");

/** What all tables of the library have in common: sorting alone, and none of its own controls. */
const PLAIN_TABLE = {
  autoWidth: false, info: false, order: [], orderDescReverse: false, paging: false,
  layout: { topStart: null, topEnd: null, bottomStart: null, bottomEnd: null },
};

/** The two orders of cells; empty ones come last in both directions. */
function addOrders(DataTable) {
  const lastly = (compare, isNone) => (direction) => (a, b) => {
    if (isNone(a) || isNone(b)) return isNone(a) - isNone(b);
    return direction * compare(a, b);
  };
  const collator = new Intl.Collator("en", { numeric: true });
  const numbers = lastly((a, b) => a - b || 0, Number.isNaN); // inf - inf is nan
  const texts = lastly((a, b) => collator.compare(a, b), (text) => text === "");
  DataTable.type("cell-number", { order: { pre: Number, asc: numbers(1), desc: numbers(-1) } });
  DataTable.type("cell-text", { order: { asc: texts(1), desc: texts(-1) } });
}

const loadTables = once(async () => {
  await loadScript("datatables");
  const DataTable = window.jQuery.fn.dataTable;
  DataTable.ext.errMode = "throw";
  addOrders(DataTable);
  return DataTable;
});

function tableCell(cell, column, first) {
  const text = formatCell(cell, column.kind, column.digits);
  const numeric = NUMERIC.has(column.kind);
  const tag = first ? "th" : "td";
  const attributes = { scope: first ? "row" : null, "data-order": orderKey(cell, column.kind) };
  if (text === "") return el(`${tag}.none${numeric ? ".number" : ""}`, attributes, "–");
  if (typeof cell === "string" && verdictOf(cell)) return el(tag, attributes, chip(cell));
  const band = numeric && /^([^[]*) (\[.*\])$/.exec(text);
  const content = band ? [band[1], " ", el("span.band", null, band[2])] : [text];
  const mark = !numeric && typeof cell === "string" ? swatch(cell) : null;
  return el(`${tag}${numeric ? ".number" : ""}`, attributes, mark, content);
}

/** The table with some of its columns. */
function withColumns(table, wanted) {
  const kept = table.columns.map((_, i) => i).filter(wanted);
  const take = (list) => kept.map((i) => list[i]);
  return { ...table, columns: take(table.columns), rows: table.rows.map(take) };
}

const LONG = 60; // letters; a column of longer texts would push the numbers out of sight

/** Such a column as lines below the table: "cifg, np: …". Rows with the same text share a line. */
function remarks(table, i) {
  const named = new Map();
  for (const row of table.rows) {
    if (isEmpty(row[i])) continue;
    named.set(row[i], [...(named.get(row[i]) ?? []), formatCell(row[0], table.columns[0].kind)]);
  }
  return [...named].map(([text, names]) =>
    el("li", null, el("b", null, names.length === table.rows.length ? "all" : names.join(", ")), ": ", text));
}

/** Tables become sortable once they are near the window. */
const sortable = {
  made: new Map(), // element -> DataTable
  columns: new Map(),
  seen: new IntersectionObserver(async (entries) => {
    const near = entries.filter((entry) => entry.isIntersecting).map((entry) => entry.target);
    if (!near.length) return;
    const DataTable = await loadTables();
    near.forEach((element) => sortable.make(DataTable, element));
  }, { rootMargin: "300px 0px" }),
  observe(element) {
    this.seen.observe(element);
  },
  make(DataTable, element) {
    this.seen.unobserve(element);
    if (this.made.has(element) || !element.isConnected) return;
    const columns = this.columns.get(element).map((column) => ({ type: orderType(column.kind) }));
    this.made.set(element, new DataTable(element, { ...PLAIN_TABLE, searching: false, columns }));
  },
  /** Let go of the tables that leave the page. */
  forget(container) {
    for (const element of this.columns.keys()) {
      if (!container.contains(element)) continue;
      this.seen.unobserve(element);
      this.made.get(element)?.destroy();
      this.made.delete(element);
      this.columns.delete(element);
    }
  },
};

function tableBox(whole) {
  const isLong = (i) => i > 0 && whole.columns[i].kind === "text" &&
    whole.rows.some((row) => typeof row[i] === "string" && row[i].length > LONG);
  const table = withColumns(whole, (i) => !isLong(i) && whole.rows.some((row) => !isEmpty(row[i])));
  const lines = whole.columns.flatMap((_, i) => (isLong(i) ? remarks(whole, i) : []));
  const head = el("tr", null, table.columns.map((column) =>
    el(`th${NUMERIC.has(column.kind) ? ".number" : ""}`, { scope: "col", title: column.help || null }, column.name)));
  const element = el("table", null, el("thead", null, head), el("tbody", null,
    table.rows.map((row) => el("tr", null, row.map((cell, i) => tableCell(cell, table.columns[i], i === 0))))));
  sortable.observe(element);
  sortable.columns.set(element, table.columns);

  const inOrder = () => (sortable.made.get(element)?.rows({ order: "applied" }).indexes().toArray() ?? [...whole.rows.keys()])
    .map((n) => whole.rows[n]); // the long texts too
  const copies = el("span.copies", null, el("span", null, "Copy"),
    copyButton("CSV", () => asCsv(whole.columns, inOrder()), `Copy ${table.title} as CSV`),
    copyButton("Markdown", () => asMarkdown(whole.columns, inOrder()), `Copy ${table.title} as Markdown`),
    copyButton("LaTeX", () => asLatex(whole.columns, inOrder(), table.title), `Copy ${table.title} as LaTeX`));
  const help = table.columns.filter((c) => c.help);
  return el("section.table", { "data-key": table.key },
    el("div.table-head", null, el("h3", null, table.title), copies),
    el("div.scroll", { tabindex: "0", role: "region", "aria-label": table.title },
      element),
    lines.length > 0 && el("ul.remarks", null, lines),
    table.note && el("p.note", null, table.note),
    help.length > 0 && el("details.help", null, el("summary", null, "What the columns mean"),
      el("dl", null, help.flatMap((c) => [el("dt", null, c.name), el("dd", null, c.help)]))));
}
