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
