// Draws the charts of a study's page. The numbers are in the page as JSON; nothing is fetched.
"use strict";
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#8c6bb1", "#7f7f00"];
const DASHES = [[], [7, 4], [2, 3]];
const ink = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// One row of x for all series, as the library expects; null where a series has no value.
function aligned(series) {
  const xs = [...new Set(series.flatMap((one) => one.x))].sort((a, b) => a - b);
  const place = new Map(xs.map((x, i) => [x, i]));
  const spread = (one, key) => {
    const row = new Array(xs.length).fill(null);
    one.x.forEach((x, i) => { row[place.get(x)] = one[key][i]; });
    return row;
  };
  return [xs, spread];
}

function draw(chart, target) {
  const shown = (value) => value == null ? "–" : chart.percent ? (100 * value).toFixed(1) + " %" : value.toPrecision(4);
  const [xs, spread] = aligned(chart.series);
  const data = [xs], series = [{ label: chart.x, value: (u, x) => x == null ? "–" : String(+x.toPrecision(3)) }], bands = [];
  const parts = new Map();  // a line's band is toggled with it
  chart.series.forEach((one) => {
    const i = one.place, colour = COLOURS[i % COLOURS.length], dash = DASHES[Math.floor(i / COLOURS.length) % DASHES.length];
    const line = { label: one.name, stroke: colour, width: 2, dash, spanGaps: true, value: (u, y) => shown(y), points: { show: xs.length < 3, size: 7, fill: colour } };
    if (chart.kind === "points") {
      line.paths = () => null;
      line.points = { show: true, size: 8, fill: dash.length ? ink("--card") : colour, stroke: colour };
    } else if (chart.kind === "steps") {
      line.paths = uPlot.paths.stepped({ align: 1 });
      line.points = { show: true, size: 5, fill: colour };
    }
    data.push(spread(one, "y"));
    series.push(line);
    if (one.low) {
      const at = series.length;
      for (const key of ["high", "low"]) {
        data.push(spread(one, key));
        series.push({ label: "", class: "band", stroke: "transparent", width: 0, points: { show: false } });
      }
      bands.push({ series: [at, at + 1], fill: colour + "22" });
      parts.set(at - 1, [at, at + 1]);
    }
  });
  const axis = (label) => ({ label, stroke: ink("--muted"), grid: { stroke: ink("--rule"), width: 1 }, ticks: { stroke: ink("--rule") }, labelSize: 24 });
  const width = () => Math.max(280, target.clientWidth);
  const plot = new uPlot({
    width: width(), height: 320, series, bands,
    cursor: { focus: { prox: 24 } }, focus: { alpha: 0.25 },
    scales: { x: { time: false, distr: chart.log ? 3 : 1 } },
    axes: [
      { ...axis(chart.x), ...(chart.kind === "points" ? {} : { incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10000] }), values: (u, ticks) => ticks.map((x) => x == null ? "" : String(+x.toPrecision(3))) },
      { ...axis(chart.y), size: 62, values: (u, ticks) => ticks.map((y) => chart.percent ? +(100 * y).toFixed(2) + " %" : y) },
    ],
    hooks: { setSeries: [(u, i, change) => {
      if ("show" in change) for (const part of parts.get(i) || []) u.setSeries(part, { show: change.show }, false);
    }] },
  }, data, target);
  // The legend's entries are buttons, for keyboards too.
  target.querySelectorAll(".u-series:not(.band)").forEach((row, i) => {
    if (i === 0) return;
    const label = row.querySelector("th");
    label.tabIndex = 0;
    label.setAttribute("role", "button");
    label.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); label.click(); }
    });
  });
  new ResizeObserver(() => plot.setSize({ width: width(), height: 320 })).observe(target);
}

for (const chart of JSON.parse(document.getElementById("charts").textContent)) {
  draw(chart, document.querySelector(`[data-chart="${chart.id}"]`));
}
