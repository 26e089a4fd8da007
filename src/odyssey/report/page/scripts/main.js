// Start: read the data, draw the answer, then load Plotly.

let runsPart = null;
let drawnView = ""; // the comparison and metric that are on the page

function show() {
  readAddress();
  const wanted = `${view.comparison} ${view.metric}`;
  if (wanted !== drawnView) {
    const old = byId("view");
    const changed = drawnView.split(" ")[0] !== String(view.comparison);
    forgetFigures(old);
    old.replaceWith(drawView());
    if (changed) runsPart.draw();
    drawnView = wanted;
    drawNav();
  }
  drawDrawer();
  runsPart.rows.markOpen();
}

function trouble(problem) {
  const line = byId("trouble");
  line.textContent = `This page could not be drawn. ${problem?.message ?? problem}`;
  line.hidden = false;
}

async function start() {
  startTheme();
  report = JSON.parse(await inflated("data"));
  readAddress();
  runsPart = runsSection();
  byId("main").append(titleBlock(), el("div#view"), runsPart.section);
  byId("foot").append(...[howSection(), methodsSection()].filter(Boolean));
  show();
  addEventListener("hashchange", show);
  document.documentElement.dataset.ready = "yes";
  await new Promise((done) => setTimeout(done, 30)); // the answer stands; now the heavy part
  await loadPlotly();
}

start().catch(trouble);
