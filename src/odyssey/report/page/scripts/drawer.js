// A run's settings: those that differ from the other runs, and all.

function settingText(value) {
  if (typeof value === "number" && value !== 0 && Math.abs(value) < 1e-4) return value.toExponential();
  return value !== null && typeof value === "object" ? JSON.stringify(value) : String(value);
}

function settingsList(settings, changed) {
  const keys = Object.keys(settings).sort();
  return el("dl.pairs", null, keys.map((key) =>
    el(`div${changed && key in changed ? ".differs" : ""}`, null,
      el("dt", null, key), el("dd", null, settingText(settings[key])))));
}

/** Two lists; the second is built when it is opened. */
function settingsBox(run) {
  const changed = report.details.changed[run] ?? {};
  const comparison = report.runs.comparison[run];
  const base = comparison === null ? {} : report.details.base[comparison] ?? {};
  const all = { ...base, ...changed };
  const total = Object.keys(all).length;
  if (total === 0) return el("p.hint", null, "Its settings are not known: the run has no readable configuration.");
  const list = el("div");
  const field = el("input.search", { type: "search", placeholder: "Find a setting", "aria-label": "Find a setting" });
  const filter = () => {
    const wanted = field.value.toLowerCase();
    for (const row of list.querySelectorAll("dl > div")) {
      row.hidden = !row.textContent.toLowerCase().includes(wanted);
    }
  };
  field.addEventListener("input", filter);
  const details = el("details", null, el("summary", null, `All ${count(total, "setting")}`), field, list);
  details.addEventListener("toggle", () => {
    if (list.firstChild) return;
    list.append(settingsList(all, changed));
    filter(); // `toggle` comes late: something may have been typed before
  });
  const differing = Object.keys(changed).length;
  return el("div.settings", null,
    differing ? settingsList(changed) : el("p.hint", null, "They are those that most runs here share."), details);
}
// A run's learning curve in the drawer.

/** The metric that is looked at, on the validation part, where the run has it. */
function firstCurve(names) {
  const wanted = [`valid/${theMetric()?.key}`, theMetric()?.key];
  return names.find((name) => wanted.includes(name)) ?? names.find((name) => name.startsWith("valid")) ?? names[0];
}

function curveBox(run, colour) {
  const place = el("div.curve", null, el("p.hint", null, "Reading the curves…"));
  loadCurves().then((curves) => {
    if (!place.isConnected) return;
    const found = curves[run] ?? {};
    const names = Object.keys(found).filter((name) => found[name][0].length > 0);
    if (!names.length) {
      place.replaceChildren(el("p.hint", null, "It has left no learning curve."));
      return;
    }
    const plot = el("div.plot", { role: "img", "aria-label": "Learning curve" });
    const list = el("select", { "aria-label": "Curve" }, names.map((name, i) =>
      el("option", { value: i, selected: name === firstCurve(names) }, name)));
    const draw = () => drawCurve(plot, names[list.value], found[names[list.value]], colour);
    list.addEventListener("change", draw);
    place.replaceChildren(names.length > 1 ? list : el("p.hint", null, names[0]), plot);
    draw();
    place.redraw = draw;
  });
  return place;
}

async function drawCurve(plot, name, [steps, values], colour) {
  const Plotly = await loadPlotly();
  if (!plot.isConnected) return;
  const trace = {
    type: "scatter", mode: steps.length > 1 ? "lines+markers" : "markers", x: steps, y: values, name,
    line: { color: safeColour(colour) || cssColour("accent"), width: 2 }, marker: { size: 4 },
    hovertemplate: "update %{x}<br>%{y:.5~g}<extra></extra>",
  };
  const layout = { height: 240, showlegend: false, margin: { l: 44, r: 10, t: 10, b: 36 }, xaxis: { title: { text: "updates" } } };
  Plotly.react(plot, plotlySafe([trace]), plotlyLayout({ layout }), { ...plotlyConfig(), displayModeBar: false });
  plot.dataset.drawn = "yes";
}
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
    else runsPart.focusActive();
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
