// What several pages are made of.
import { html, useEffect, useRef, useState } from "./vendor/htm/standalone.module.js";
import { get } from "./api.js";

export const percent = (share, digits = 1) => (share == null ? "–" : `${(100 * share).toFixed(digits)}\u00a0%`);
export const whole = (number) => (number == null ? "–" : Math.round(number).toLocaleString("en"));
export const figure = (value) => (value == null ? "–" : Math.abs(value) >= 100 ? value.toFixed(0) : String(+value.toPrecision(3)));

export function duration(seconds) {
  if (seconds == null || !isFinite(seconds)) return "–";
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

// Call something now and then every so many milliseconds while the page is open and seen.
export function useEvery(call, milliseconds) {
  const last = useRef(call);
  last.current = call;
  useEffect(() => {
    last.current();
    const timer = setInterval(() => { if (!document.hidden) last.current(); }, milliseconds);
    return () => clearInterval(timer);
  }, [milliseconds]);
}

// The answer to a question: [answer, error, ask again].
export function useAnswer(path) {
  const [answer, set] = useState(null);
  const [error, fail] = useState(null);
  const asked = useRef(path);
  asked.current = path;
  const ask = () => path && get(path).then(
    (found) => { if (asked.current === path) { set(found); fail(null); } },
    (problem) => { if (asked.current === path) fail(problem.message); });
  useEffect(() => { set(null); fail(null); ask(); }, [path]);
  return [answer, error, ask];
}

// Tabs, moved through with the arrow keys: [id, title] pairs.
export function Tabs({ tabs, open, choose, label, controls }) {
  const moved = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const place = tabs.findIndex(([id]) => id === open), next = tabs[(place + step + tabs.length) % tabs.length][0];
    choose(next);
    document.getElementById(`tab-${next}`).focus();
  };
  return html`<div class="tabs" role="tablist" aria-label=${label} onKeyDown=${moved}>${tabs.map(([id, title]) => html`
    <button key=${id} role="tab" id=${`tab-${id}`} tabindex=${id === open ? 0 : -1} aria-selected=${String(id === open)} aria-controls=${controls} onClick=${() => choose(id)}>${title}</button>`)}</div>`;
}

// A question before something that cannot be taken back. `act` may fail; the dialog then says why.
export function Ask({ title, yes, no = "Cancel", act, close, danger, children }) {
  const dialog = useRef();
  const [problem, fail] = useState(null);
  useEffect(() => { dialog.current.showModal(); }, []);
  const answer = () => act().then(() => dialog.current?.close(), (error) => fail(error.message));
  return html`<dialog ref=${dialog} onClose=${close} aria-labelledby="asked"><h2 id="asked">${title}</h2>${children}
    <${Problem}>${problem}<//><div class="row"><button onClick=${() => dialog.current.close()}>${no}</button><button class=${danger ? "danger" : "main"} onClick=${answer}>${yes}</button></div></dialog>`;
}

export const Problem = ({ children }) => (children ? html`<p class="banner" role="alert">${children}</p>` : null);
export const Wait = ({ children }) => html`<p class="muted" role="status">${children || "One moment …"}</p>`;
export const Status = ({ status }) => html`<span class=${`status ${status}`}>${status}</span>`;

export function Copied({ text, label }) {
  const [done, set] = useState(false);
  if (!navigator.clipboard) return null; // over http, browsers give it to localhost alone
  const copy = () => navigator.clipboard.writeText(text).then(() => { set(true); setTimeout(() => set(false), 1500); });
  return html`<button class="small" onClick=${copy}>${done ? "Copied" : "Copy"}<span class="hidden"> ${label}</span></button>`;
}

// A choice among [value, title] pairs. Which one is chosen is said by the options: they may come later.
export const Select = ({ value, options, set, ...more }) => html`<select ...${more} onChange=${(event) => set(event.target.value)}>${options.map(([key, title]) => html`<option key=${key} value=${key} selected=${key === value}>${title}</option>`)}</select>`;

// Go on to the latest run, on a page that is about one, if none is named.
export function useLatest(name, runs, page) {
  const latest = name ? null : runs[0]?.name;
  useEffect(() => { if (latest) location.replace(`#/${page}/${encodeURIComponent(latest)}`); }, [latest]);
}

// A choice of a run, for pages that are about one.
export function RunChoice({ value, runs, page, label = "Run" }) {
  return html`<label class="field choice">${label}
    <${Select} value=${value || ""} set=${(name) => { location.hash = `#/${page}/${encodeURIComponent(name)}`; }}
      options=${[...(runs.some((run) => run.name === value) ? [] : [[value || "", value || "choose a run"]]), ...runs.map((run) => [run.name, `${run.name} · ${run.data}`])]} /></label>`;
}

// --- curves ---

const COLOURS = { train: "--train", validation: "--validation" };
const PALETTE = ["--c1", "--c2", "--c3", "--c4", "--c5", "--c6"];
const ink = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const colour = (one, at) => ink(COLOURS[one.kind] || PALETTE[(one.place ?? at) % PALETTE.length]);

// series: [{name, x, y, low?, high?, kind?, place?}]. Colours follow light and dark.
export function Curves({ series, title, x = "epoch", shown = figure, log = false, height = 240 }) {
  const target = useRef();
  const plot = useRef();
  const [dark, turn] = useState(matchMedia("(prefers-color-scheme: dark)").matches);
  useEffect(() => {
    const media = matchMedia("(prefers-color-scheme: dark)");
    const turned = () => turn(media.matches);
    media.addEventListener("change", turned);
    return () => media.removeEventListener("change", turned);
  }, []);
  const shape = JSON.stringify([title, series.map((one) => [one.name, one.kind, one.place, Boolean(one.low)]), log, dark, height]);
  const data = aligned(series, log);
  useEffect(() => {
    plot.current = draw(target.current, series, { x, shown, log, height }, data);
    const watch = new ResizeObserver(() => plot.current?.setSize({ width: Math.max(200, target.current.clientWidth), height }));
    watch.observe(target.current);
    return () => { watch.disconnect(); plot.current.destroy(); plot.current = null; };
  }, [shape]);
  useEffect(() => { plot.current?.setData(data); rest(plot.current); });
  const last = series.map((one) => `${one.name} ${shown(one.y.findLast((value) => value != null))}`).join(", ");
  return html`<figure class="curves"><figcaption>${title}</figcaption>
    <div ref=${target} role="img" aria-label=${`${title}; last: ${last || "nothing yet"}`}></div></figure>`;
}

// Where no point is hovered, the legend shows the last one.
function rest(plot) {
  if (plot && plot.cursor.idx == null && plot.data[0].length) plot.setLegend({ idx: plot.data[0].length - 1 }, false);
}

function aligned(series, log) {
  const xs = [...new Set(series.flatMap((one) => one.x))].sort((a, b) => a - b);
  const place = new Map(xs.map((value, i) => [value, i]));
  const spread = (one, values) => {
    const row = new Array(xs.length).fill(null);
    one.x.forEach((value, i) => { const y = values[i]; row[place.get(value)] = y == null || (log && y <= 0) ? null : y; });
    return row;
  };
  const rows = [xs];
  for (const one of series) {
    rows.push(spread(one, one.y));
    if (one.low) rows.push(spread(one, one.high), spread(one, one.low));
  }
  return rows;
}

function draw(target, series, { x, shown, log, height }, data) {
  const lines = [{ label: x, value: (u, v) => (v == null ? "–" : String(v)) }], bands = [];
  series.forEach((one, i) => {
    const stroke = colour(one, i);
    lines.push({ label: one.name, stroke, width: 2, spanGaps: true, value: (u, v) => shown(v), points: { show: (u, s) => u.data[0].length < 3, size: 6, fill: stroke } });
    if (one.low) {
      const at = lines.length;
      for (const label of ["high", "low"]) lines.push({ label, class: "band", stroke: "transparent", width: 0, points: { show: false } });
      bands.push({ series: [at, at + 1], fill: `${stroke}33` });
    }
  });
  const axis = { stroke: ink("--muted"), grid: { stroke: ink("--rule"), width: 1 }, ticks: { stroke: ink("--rule"), width: 1 }, font: "12px system-ui, sans-serif" };
  return new uPlot({
    width: Math.max(200, target.clientWidth), height, series: lines, bands,
    cursor: { points: { size: 7 } }, legend: { live: true }, hooks: { setCursor: [rest] },
    scales: { x: { time: false, range: (u, low, high) => (low == null ? [0, 1] : low === high ? [low - 0.5, high + 0.5] : [low, high]) }, y: log ? { distr: 3 } : {} },
    axes: [{ ...axis, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000] }, { ...axis, size: 62, values: (u, ticks) => ticks.map((v) => (v == null ? "" : shown === percent ? `${+(100 * v).toFixed(1)} %` : shown(v))) }],
  }, data, target);
}

// --- the network, drawn ---

export function Network({ layers, input }) {
  const drawn = layers.filter((layer) => !["Dropout", "Flatten", "Rescaling", "Activation"].includes(layer.kind));
  const size = (shape) => shape.filter((n) => n != null).reduce((a, b) => a * b, 1);
  const tall = (n) => Math.max(14, Math.min(100, 11 * Math.log2(n + 1)));
  const blocks = [{ title: "image", shape: input, note: "" }, ...drawn.map((layer) => ({
    title: layer.kind === "Dense" ? "dense" : layer.name, shape: layer.shape, note: layer.activation || "", parameters: layer.parameters }))];
  const lines = `${blocks.length} layers: ${blocks.map((one) => `${one.title} ${one.shape.join("×")} ${one.note}`.trim()).join(", ")}`;
  return html`<ol class="network" aria-label=${lines}>${blocks.map((one, i) => html`<li key=${i} title=${one.parameters ? `${whole(one.parameters)} parameters` : ""}>
    <svg width="26" height="104" aria-hidden="true"><rect x="3" y=${52 - tall(size(one.shape)) / 2} width="20" height=${tall(size(one.shape))} rx="3" class=${i ? "block" : "block first"} /></svg>
    <span class="shape">${one.shape.map((n) => n ?? "?").join("×")}</span><span class="muted">${one.note || one.title}</span></li>`)}</ol>`;
}

export function Bars({ names, shares, truth }) {
  return html`<ol class="bars">${names.map((name, i) => html`<li key=${name}>
    <span class="name">${name}${truth === name ? " ✓" : ""}</span><span class="bar" aria-hidden="true"><i ref=${(element) => element && (element.style.width = `${100 * shares[i]}%`)}></i></span><span class="value">${percent(shares[i])}</span></li>`)}</ol>`;
}
