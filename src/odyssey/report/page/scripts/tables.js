// The tables of the analysis: sorted by a click on a heading, copied for a paper.

const VERDICTS = {
  better: "better", worse: "worse", same: "same", baseline: "baseline",
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

function compareCells(kind) {
  if (NUMERIC.has(kind)) return (a, b) => toNumber(a) - toNumber(b) || 0; // inf - inf is nan
  const collator = new Intl.Collator("en", { numeric: true });
  return (a, b) => collator.compare(String(a), String(b));
}

/** Indices of rows by one column; empty cells last both ways, equal ones as they were. */
function sortedOrder(order, cellOf, kind, direction) {
  const empty = NUMERIC.has(kind) ? (cell) => Number.isNaN(toNumber(cell)) : isEmpty;
  const compare = compareCells(kind);
  const filled = order.filter((i) => !empty(cellOf(i)));
  const rest = order.filter((i) => empty(cellOf(i)));
  filled.sort((a, b) => direction * compare(cellOf(a), cellOf(b)));
  return [...filled, ...rest];
}

/** Up, down, as it was. */
const nextDirection = (direction) => (direction === 0 ? 1 : direction === 1 ? -1 : 0);
const ARIA_SORT = { 1: "ascending", [-1]: "descending", 0: "none" };

function tableCell(cell, column, first) {
  const text = formatCell(cell, column.kind, column.digits);
  const numeric = NUMERIC.has(column.kind);
  const tag = first ? "th" : "td";
  const attributes = first ? { scope: "row" } : null;
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

function tableBox(whole) {
  const isLong = (i) => i > 0 && whole.columns[i].kind === "text" &&
    whole.rows.some((row) => typeof row[i] === "string" && row[i].length > LONG);
  const table = withColumns(whole, (i) => !isLong(i) && whole.rows.some((row) => !isEmpty(row[i])));
  const lines = whole.columns.flatMap((_, i) => (isLong(i) ? remarks(whole, i) : []));
  const headings = table.columns.map((column, i) => {
    const button = el("button", { type: "button", title: column.help || null }, column.name);
    button.addEventListener("click", () => sortBy(i));
    return el(`th${NUMERIC.has(column.kind) ? ".number" : ""}`, { scope: "col", "aria-sort": "none" }, button);
  });
  const body = el("tbody");
  const rows = table.rows.map((row) => el("tr", null, row.map((cell, i) => tableCell(cell, table.columns[i], i === 0))));
  body.append(...rows);
  let [sorted, direction, order] = [-1, 0, table.rows.map((_, i) => i)];

  function sortBy(i) {
    direction = i === sorted ? nextDirection(direction) : 1;
    sorted = i;
    order = table.rows.map((_, n) => n);
    if (direction) order = sortedOrder(order, (n) => table.rows[n][i], table.columns[i].kind, direction);
    headings.forEach((th, n) => th.setAttribute("aria-sort", n === i ? ARIA_SORT[direction] : "none"));
    body.append(...order.map((n) => rows[n]));
  }

  const inOrder = () => order.map((n) => whole.rows[n]); // the long texts too
  const copies = el("span.copies", null, el("span", null, "Copy"),
    copyButton("CSV", () => asCsv(whole.columns, inOrder()), `Copy ${table.title} as CSV`),
    copyButton("Markdown", () => asMarkdown(whole.columns, inOrder()), `Copy ${table.title} as Markdown`),
    copyButton("LaTeX", () => asLatex(whole.columns, inOrder(), table.title), `Copy ${table.title} as LaTeX`));
  const help = table.columns.filter((c) => c.help);
  return el("section.table", { "data-key": table.key },
    el("div.table-head", null, el("h3", null, table.title), copies),
    el("div.scroll", { tabindex: "0", role: "region", "aria-label": table.title },
      el("table", null, el("thead", null, el("tr", null, headings)), body)),
    lines.length > 0 && el("ul.remarks", null, lines),
    table.note && el("p.note", null, table.note),
    help.length > 0 && el("details.help", null, el("summary", null, "What the columns mean"),
      el("dl", null, help.flatMap((c) => [el("dt", null, c.name), el("dd", null, c.help)]))));
}
