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
