// The top of the page: what differs, by how much, how sure; then what it rests on.

const LEAD_FIGURE = "differences";
const MANY = 12; // variants in the answer before the rest is folded away

function headline(metric) {
  const items = metric.headline.map((item, i) =>
    el(`li.verdict${i >= MANY ? ".folded" : ""}`, null,
      el("span.who", null, swatch(item.variant, item.colour), el("strong", null, item.variant)),
      chip(item.word), el("p", null, item.sentence)));
  const list = el("ol.headline", null, items);
  if (items.length === 0) return el("p.callout", null, "There is nothing to compare here yet; the notes below say why.");
  if (items.length <= MANY) return list;
  const more = el("button.small.more", { type: "button", "aria-expanded": "false" }, `Show the other ${items.length - MANY}`);
  more.addEventListener("click", () => {
    list.classList.add("open");
    more.remove();
  });
  return el("div", null, list, more);
}

const notesBox = (title, sentences, kind) =>
  sentences.length > 0 && el(`section.notes.${kind}`, null, el("h3", null, title),
    el("ul", null, sentences.map((sentence) => el("li", null, sentence))));

function factsBox(comparison) {
  if (!comparison.facts.length) return null;
  return el("section.notes.facts", null, el("h3", null, "What was compared"),
    el("dl", null, comparison.facts.map(([label, value]) =>
      el("div", null, el("dt", null, label), el("dd", null, formatCell(value))))));
}

function switches() {
  const found = [];
  if (report.comparisons.length > 1) {
    const items = report.comparisons.map((c) => ({ key: c.key, name: c.title }));
    found.push(switcher("Study", items, theComparison().key, (comparison) => go({ comparison, run: null })));
  }
  if (theComparison().metrics.length > 1) {
    const items = theComparison().metrics.map((m) => ({ key: m.key, name: m.name }));
    found.push(switcher("Metric", items, theMetric().key, (metric) => go({ metric })));
  }
  return found.length > 0 && el("div.switches", null, found);
}

/** The sections that depend on the comparison and the metric, in one element. */
function drawView() {
  const [comparison, metric] = [theComparison(), theMetric()];
  if (!comparison) {
    return el("div#view", null, el("p.callout", null, "No runs that could be compared were found."));
  }
  const basis = el("div.basis", null, factsBox(comparison),
    notesBox("Read it with this in mind", [...(metric?.notes ?? []), ...comparison.notes], "mind"),
    notesBox("Set apart, not pooled", comparison.apart, "apart"));
  if (!metric) {
    return el("div#view", null, el("section#answer", null, switches(), el("h2", null, comparison.title),
      el("p.callout", null, "No run of this comparison has a result yet.")), basis);
  }
  const lead = metric.figures.find((f) => f.key === LEAD_FIGURE);
  const verdicts = metric.tables.find((t) => t.key.includes("verdict")) ?? metric.tables[0];
  const tables = metric.tables.filter((t) => t !== verdicts);
  const figures = metric.figures.filter((f) => f !== lead);
  return el("div#view", null,
    el("section#answer", { "aria-labelledby": "answer-title" }, switches(),
      el("h2#answer-title", null, comparison.title),
      el("p.measure", null, el("b", null, metric.name), ` · ${metric.part} · ${metric.better} is better`,
        comparison.better_note && ` · ${comparison.better_note}`),
      el(`div.lead${lead ? "" : ".alone"}`, null, headline(metric), lead && figureBox(lead)),
      verdicts && tableBox(verdicts), basis),
    figures.length > 0 && el("section#figures", null, el("h2", null, "Figures"),
      el("p.hint.screen", null, "A click on a point that stands for a run opens that run."),
      el("div.figures", null, figures.map((f) => figureBox(f)))),
    tables.length > 0 && el("section#tables", null, el("h2", null, "Tables"), tables.map(tableBox)));
}
