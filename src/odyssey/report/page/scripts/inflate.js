// The blocks of the page that are stored as gzip in base64.

/** The text of a block, which is then let go: it is read once. */
async function inflated(id) {
  if (typeof DecompressionStream === "undefined") {
    throw new Error("This browser is too old for this page: it needs Chrome 80, Firefox 113, Safari 16.4 or newer.");
  }
  const block = byId(id);
  const packed = atob(block.textContent);
  block.remove();
  const bytes = new Uint8Array(packed.length);
  for (let i = 0; i < packed.length; i++) bytes[i] = packed.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

/** A function that does its work at the first call and hands the same promise to all. */
function once(action) {
  let promise = null;
  return () => (promise ??= action());
}

const loadCurves = once(async () => JSON.parse(await inflated("curves")));

const loadPlotly = once(async () => {
  const script = document.createElement("script");
  script.textContent = await inflated("plotly");
  document.head.append(script);
  script.remove();
  if (!window.Plotly) throw new Error("Plotly did not start.");
  return window.Plotly;
});
