// What is being looked at. The address says it, so that every view has a link and Back works.

let report = null; // the payload
const view = { comparison: 0, metric: 0, run: null };

const theComparison = () => report.comparisons[view.comparison];
const theMetric = () => theComparison()?.metrics[view.metric];

/** Set `view` from the address: #comparison=…&metric=…&run=17. What is unknown there is left out. */
function readAddress() {
  const asked = new URLSearchParams(location.hash.slice(1));
  const number = /^\d+$/.test(asked.get("run") || "") ? Number(asked.get("run")) : null;
  view.run = number !== null && number < report.runs.rows.length ? number : null;
  let comparison = report.comparisons.findIndex((c) => c.key === asked.get("comparison"));
  if (comparison < 0 && view.run !== null) comparison = report.runs.comparison[view.run] ?? -1;
  view.comparison = Math.max(0, comparison);
  const metrics = theComparison()?.metrics ?? [];
  view.metric = Math.max(0, metrics.findIndex((m) => m.key === asked.get("metric")));
}

/** The address of the view with `changes`: keys of a comparison and metric, a run's index or null. */
function addressOf(changes) {
  const next = { comparison: theComparison()?.key, metric: theMetric()?.key, run: view.run, ...changes };
  const words = new URLSearchParams();
  for (const key of ["comparison", "metric", "run"]) {
    if (next[key] !== null && next[key] !== undefined) words.set(key, next[key]);
  }
  return `#${words}`;
}

/** Go to another view; `hashchange` draws it. */
function go(changes) {
  location.hash = addressOf(changes);
}
