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
  field.addEventListener("input", () => {
    const wanted = field.value.toLowerCase();
    for (const row of list.querySelectorAll("dl > div")) {
      row.hidden = !row.textContent.toLowerCase().includes(wanted);
    }
  });
  const details = el("details", null, el("summary", null, `All ${count(total, "setting")}`), field, list);
  details.addEventListener("toggle", () => {
    if (!list.firstChild) list.append(settingsList(all, changed));
  });
  const differing = Object.keys(changed).length;
  return el("div.settings", null,
    differing ? settingsList(changed) : el("p.hint", null, "They are those that most runs here share."), details);
}
