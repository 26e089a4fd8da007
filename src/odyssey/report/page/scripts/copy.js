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
