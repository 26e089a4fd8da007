// One run, at the side of the page: what came of it, its settings, how to repeat it.

let openedBy = null; // where the keyboard was, to give it back

function runName(run) {
  const columns = report.runs.columns;
  const at = ["name", "run"].map((key) => columns.findIndex((c) => c.key === key)).find((k) => k >= 0);
  const path = report.details.path[run] || "";
  return String(report.runs.rows[run][at] ?? (path.split("/").filter(Boolean).pop() || `run ${run}`));
}

/** The run's cells of one sort, as pairs. */
function runPairs(run, wanted) {
  const pairs = report.runs.columns.map((column, k) => [column, report.runs.rows[run][k]])
    .filter(([column, cell]) => wanted(column) && !isEmpty(cell) && column.key !== "state");
  return pairs.length > 0 && el("dl.pairs", null, pairs.map(([column, cell]) =>
    el("div", null, el("dt", null, column.name), el("dd", null, formatCell(cell, column.kind, 6)))));
}

const part = (title, ...children) => el("section", null, el("h3", null, title), ...children);

function codePart(title, text, word) {
  return text && part(title, el("div.code", null, el("pre", null, el("code", null, text)),
    copyButton("Copy", text, `Copy the ${word}`)));
}

function stepButtons(run) {
  const at = runTable.order.indexOf(run);
  const button = (word, sign, to) => el("button.small", {
    type: "button", "aria-label": word, title: word, "data-step": word.split(" ")[0].toLowerCase(),
    disabled: at < 0 || runTable.order[to] === undefined, onclick: () => go({ run: runTable.order[to] }),
  }, sign);
  return [button("Previous run of the table", "↑", at - 1), button("Next run of the table", "↓", at + 1)];
}

function drawDrawer() {
  const drawer = byId("drawer");
  if (drawer.querySelector(".curve .plot[data-drawn]")) window.Plotly.purge(drawer.querySelector(".curve .plot"));
  const run = view.run;
  if (run === null) {
    if (drawer.hidden) return;
    drawer.hidden = true;
    drawer.replaceChildren();
    document.body.classList.remove("with-drawer");
    if (openedBy?.isConnected) openedBy.focus({ preventScroll: true });
    else runsPart.rows.focusActive();
    openedBy = null;
    return;
  }
  const { state, error, command, path } = report.details;
  const variant = report.runs.rows[run].find((cell) => typeof cell === "string" && safeColour(report.palette[cell]));
  const heldStep = drawer.contains(document.activeElement) ? document.activeElement.dataset.step : null;
  if (drawer.hidden) openedBy = document.activeElement;
  drawer.replaceChildren(
    el("div.drawer-head", null,
      el("div", null, el("p.eyebrow", null, swatch(variant), variant ?? "run", " ",
        el(`span.state${BAD_STATES.has(state[run]) ? ".bad" : state[run] === "finished" ? ".done" : ""}`, null, state[run] || "unknown")),
      el("h2#drawer-title", null, runName(run))),
      el("div.drawer-tools", null, stepButtons(run),
        copyButton("Link", () => location.href, "Copy the link to this run"),
        el("button.small.close", { type: "button", "aria-label": "Close", onclick: () => go({ run: null }) }, "×"))),
    el("div.drawer-body", null,
      error[run] && part("Error", el("pre.error", null, error[run])),
      part("Result", runPairs(run, (c) => c.kind !== "text") || el("p.hint", null, "It has no result.")),
      part("Learning curve", curveBox(run, report.palette[variant])),
      part("Settings that differ", settingsBox(run)),
      codePart("Repeat it", command[run], "command"),
      codePart("Where it lies", path[run], "path"),
      part("Provenance", runPairs(run, (c) => c.kind === "text") || el("p.hint", null, "Nothing is known."))));
  const opens = drawer.hidden;
  drawer.hidden = false;
  drawer.querySelector(".drawer-body").scrollTop = 0;
  document.body.classList.add("with-drawer");
  const step = heldStep && drawer.querySelector(`[data-step="${heldStep}"]:not(:disabled)`);
  if (step) step.focus();
  else if (opens || heldStep) drawer.focus({ preventScroll: true });
  say(`Run ${runName(run)}, ${state[run] || "of unknown state"}`);
}

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && view.run !== null && !event.target.closest?.(".chooser[open]")) go({ run: null });
});
themeWatchers.push(() => byId("drawer").querySelector(".curve")?.redraw?.());
