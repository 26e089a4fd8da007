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

const NAV = [["answer", "Answer"], ["figures", "Figures"], ["tables", "Tables"], ["runs", "Runs"], ["how", "How"], ["methods", "Methods"]];

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
