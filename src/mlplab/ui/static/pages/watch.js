// A run while it is trained, and afterwards.
import { html, useEffect, useState } from "../vendor/htm/standalone.module.js";
import { get, png, post } from "../api.js";
import { beginFrom } from "./start.js";
import { Ask, Curves, Network, Problem, Status, Wait, duration, figure, percent, useAnswer, useLatest, whole } from "../parts.js";

export function Watch({ name, jobs }) {
  const [answer] = useAnswer(name ? null : "runs");
  const runs = answer?.runs || [];
  useLatest(name, [...runs.filter((run) => run.status === "running"), ...runs], "watch");
  if (!name) {
    return html`<h1>Watch</h1>${answer && !runs.length ? html`<p>Nothing has been trained yet: <a href="#/start">start</a>.</p>` : html`<${Wait} />`}`;
  }
  return html`<${One} name=${name} jobs=${jobs} />`;
}

function useEvents(name) {
  const [rows, setRows] = useState([]);
  const [layers, setLayers] = useState([]);
  const [progress, setProgress] = useState(null);
  const [status, setStatus] = useState(null);
  const [there, setThere] = useState(true);
  useEffect(() => {
    let source, timer, last = 0, open = true;
    const known = [], measured = new Map();
    const show = () => { setRows([...known]); setLayers([...measured.values()]); };
    const begin = () => {
      source = new EventSource(`api/runs/${encodeURIComponent(name)}/events?after=${last}`);
      source.addEventListener("row", (event) => { last = +event.lastEventId; known[last - 1] = JSON.parse(event.data); setThere(true); later(); });
      source.addEventListener("layers", (event) => { const row = JSON.parse(event.data); measured.set(row.epoch, row); later(); });
      source.addEventListener("progress", (event) => setProgress(JSON.parse(event.data)));
      source.addEventListener("status", (event) => { setStatus(JSON.parse(event.data)); setThere(true); });
      source.addEventListener("gone", (event) => {
        const found = JSON.parse(event.data);
        if (found.run) { source.close(); setThere(false); timer = setTimeout(begin, 5000); return; }
        known.length = last = found.rows;
        for (const epoch of measured.keys()) if (epoch > last) measured.delete(epoch);
        later();
      });
      // The browser tries again by itself, unless the answer was no stream.
      source.onerror = () => { if (source.readyState === EventSource.CLOSED && open) timer = setTimeout(begin, 2000); };
    };
    let waiting = false;
    const later = () => { if (!waiting) { waiting = true; requestAnimationFrame(() => { waiting = false; show(); }); } };
    // A browser has six connections to a server: pages that nobody sees leave theirs to the others.
    const turned = () => { clearTimeout(timer); source?.close(); if (!document.hidden) begin(); };
    document.addEventListener("visibilitychange", turned);
    begin();
    return () => { open = false; clearTimeout(timer); source.close(); document.removeEventListener("visibilitychange", turned); };
  }, [name]);
  return { rows, layers, progress, status, there };
}

function One({ name, jobs }) {
  const { rows, layers, progress, status, there } = useEvents(name);
  const [run, , again] = useAnswer(there && status ? `runs/${encodeURIComponent(name)}` : null);
  const [problem, fail] = useState(null);
  const [stopped, stop] = useState(false);
  useEffect(() => { if (status && status.status !== "running") stop(false); }, [status?.status]);
  useEffect(() => { if (status) again(); }, [status?.status, status?.version]);
  const job = jobs.find((one) => one.runs.includes(name) && one.state !== "ended");
  const ask = (what) => post(`runs/${encodeURIComponent(name)}/${what}`, {}).then(() => fail(null), (error) => fail(error.message));
  if (!there || !status) {
    const dead = jobs.findLast((one) => one.runs.includes(name) && one.state === "ended");
    return html`<h1>${name}</h1>${job ? html`<${Wait}>${job.state === "waiting" ? "Waiting in the queue …" : "Starting: loading Keras and reading the images …"}<//>`
      : dead ? html`<p>${dead.failed ? "It did not start." : dead.code === 0 ? "It is no longer there." : "It was stopped before it began."} <a href="#/start">Start again</a></p>${dead.said && html`<pre tabindex="0">${dead.said}</pre>`}` : there ? html`<${Wait}>Looking for it …<//>` : html`<p>There is no run of this name, or it was deleted. <a href="#/runs">All runs</a></p>`}`;
  }
  if (status.status === "damaged") return html`<h1>${name} <${Status} status="damaged" /></h1><p class="banner">${status.reason}</p><p>Its other files are still there. <a href="#/runs">All runs</a></p>`;
  const running = status.status === "running", record = run?.record;
  const x = rows.map((row) => row.epoch);
  const of = (key) => rows.map((row) => row[key]);
  const both = (key, label) => [
    { name: "train", kind: "train", x, y: of(key) },
    ...(rows.some((row) => row[`val_${key}`] != null) ? [{ name: record?.selected_on === "test" ? "test" : "validation", kind: "validation", x, y: of(`val_${key}`) }] : []),
  ];
  const continuing = job && !running, stopping = running && stopped;
  return html`<div class="row between"><h1>${name} <${Status} status=${status.status} /></h1>
      <div class="row">${running && html`<button disabled=${stopping} onClick=${() => { stop(true); ask("stop"); }}>${stopping ? "Stopping …" : "Stop"}</button>`}
        ${status.status === "interrupted" && !continuing && html`<button class="main" onClick=${() => ask("continue")}>Continue</button>`}
        ${continuing && html`<span class="muted" role="status">${job.state === "waiting" ? "waiting in the queue" : job.words[0] === "resume" ? "continuing" : "finishing"} …</span>`}
        ${record && !running && html`<a class="button" href=${`#/mistakes/${name}`}>Mistakes</a><a class="button" href=${`#/try/${name}`}>Try it</a><a class="button" href=${`#/report/${name}`}>Report</a>`}
        ${run?.again && !running && html`<button onClick=${() => beginFrom(run.again)}>Train it with changes</button>`}</div></div>
    <${Problem}>${problem}<//>
    ${status.reason && !running && html`<p class="banner">${status.reason}</p>`}
    ${running && html`<${Progress} progress=${progress} rows=${rows} />`}
    ${record && !running && html`<${Results} record=${record} name=${name} ask=${ask} jobs=${jobs} />`}
    <div class="grid">
      <section class="card"><${Curves} title="Loss" series=${both("loss")} /></section>
      <section class="card"><${Curves} title="Accuracy" series=${both("accuracy")} shown=${percent} /></section>
    </div>
    ${run && html`<${Layers} name=${name} run=${run} layers=${layers} rows=${rows} ended=${!running} />`}`;
}

function Progress({ progress, rows }) {
  if (!progress) return html`<${Wait}>Compiling …<//>`;
  const done = (progress.epoch - 1 + progress.step / progress.steps) / progress.epochs;
  return html`<div class="card" role="group" aria-label="Progress"><progress max="1" value=${done} aria-label="Epochs done">${percent(done, 0)}</progress>
    <p>Epoch <strong>${progress.epoch}</strong> of at most ${progress.epochs}, step ${whole(progress.step)} of ${whole(progress.steps)}.
    ${progress.images_per_second ? ` ${whole(progress.images_per_second)} images a second, ${duration(progress.seconds_left)} left at most.` : ""}${" "}
    Loss ${figure(progress.loss)}, accuracy ${percent(progress.accuracy)} on the batches of this epoch so far.</p></div>`;
}

function Results({ record, name, ask, jobs }) {
  const testing = jobs.some((job) => job.state !== "ended" && job.title.startsWith(`evaluate ${name} `));
  const [opening, open] = useState(false);
  const metrics = record.metrics, tested = metrics.test;
  const tile = (split, label) => metrics[split] && html`<div class="tile"><dt>${label}</dt><dd>${percent(metrics[split].accuracy)}
    <small>${metrics[split].accuracy_low != null ? `${percent(metrics[split].accuracy_low)} to ${percent(metrics[split].accuracy_high)}` : ""}</small></dd></div>`;
  return html`<dl class="tiles">${tile("train", "training images")}${tile("validation", record.selected_on === "test" ? "test, used for choices" : "validation images")}${tile("test", "test images")}
      <div class="tile"><dt>network kept from epoch</dt><dd>${record.best_epoch || "–"} <small>of ${record.epochs}</small></dd></div>
      <div class="tile"><dt>parameters</dt><dd>${whole(record.parameters)}</dd></div>
      <div class="tile"><dt>took</dt><dd>${duration(record.seconds.total)}</dd></div></dl>
    ${record.best_epoch > 0 && record.best_epoch < record.epochs && html`<p class="muted">These are figures of the network kept from epoch ${record.best_epoch}; the curves end with those of epoch ${record.epochs}.</p>`}
    ${record.status === "finished" && !tested && record.selected_on !== "test" && html`<p><button disabled=${testing} onClick=${() => open(true)}>${testing ? "Evaluating on the test set …" : "Open the test set …"}</button></p>`}
    ${opening && html`<${Ask} title="Open the test set?" yes="Evaluate" act=${() => ask("test")} close=${() => open(false)}><p>Do this only when all choices are made: the evaluation is counted, and cannot be taken back.</p><//>`}
    ${record.findings.length > 0 && html`<section class="card"><h2>What the results say</h2>${record.findings.map((one) => html`<div key=${one.kind + one.heading}><h3>${one.heading || one.kind}</h3><p>${words(one.text)}</p></div>`)}</section>`}`;
}

// Settings in backticks, as code.
const words = (text) => text.split("`").map((part, i) => (i % 2 ? html`<code key=${i}>${part}</code>` : part));

const KINDS = [
  ["gradient_norm", "Gradient", "How strongly the loss pulls at each layer: backpropagation, layer by layer. Small in the first layers means that they learn slowly."],
  ["update_ratio", "Update over weight", "How far a step moves a layer, relative to its weights. About 0.001 is healthy."],
  ["dead_share", "Dead units", "Share of ReLU units that no image activates any more."],
];

function Layers({ name, run, layers, rows, ended }) {
  const [kind, choose] = useState("gradient_norm");
  const pictures = run.pictures;
  if (!layers.length && !run.outline) {
    return html`<p class="muted">Gradients and weights were not kept for this run: <code>mlplab train … --layers</code> does, and so does every training that begins on these pages.</p>`;
  }
  const names = [...new Set(layers.flatMap((row) => row.layers.map((one) => one.layer)))];
  const series = names.map((layer, place) => ({
    name: layer, place, x: layers.map((row) => row.epoch), y: layers.map((row) => row.layers.find((one) => one.layer === layer)?.[kind]),
  })).filter((one) => one.y.some((value) => value != null));
  const [, title, text] = KINDS.find(([key]) => key === kind);
  return html`<h2>Inside the network</h2>
    ${run.outline && html`<section class="card"><${Network} layers=${run.outline} input=${run.record.image_shape} /></section>`}
    <div class="grid">
      <section class="card"><div class="chips" role="group" aria-label="Measured in each layer">${KINDS.map(([key, label]) => html`
          <button key=${key} class="small" aria-pressed=${String(key === kind)} onClick=${() => choose(key)}>${label}</button>`)}</div>
        <p class="muted">${text}</p>
        ${series.length ? html`<${Curves} title=${title} series=${series} log=${kind !== "dead_share"} shown=${kind === "dead_share" ? percent : figure} />` : html`<p>${kind === "dead_share" ? "No layer has ReLU units, the only ones that can die." : "Nothing was measured yet."}</p>`}</section>
      ${(pictures.length > 0 || layers.length > 0) && html`<${Weights} name=${name} run=${run} epochs=${rows.length} ended=${ended} />`}
    </div>
    ${ended && run.record.status !== "running" && html`<${Activations} name=${name} run=${run} />`}`;
}

function Weights({ name, run, epochs, ended }) {
  const [known, learn] = useState(run.pictures);
  const [at, go] = useState(null);
  const [kind, choose] = useState("weights");
  useEffect(() => { get(`runs/${encodeURIComponent(name)}`).then((found) => learn(found.pictures), () => {}); }, [Math.floor(epochs / 2), ended]);
  const numbers = known.filter((file) => file.startsWith("weights-")).map((file) => +file.slice(8, 12));
  if (!numbers.length) return null;
  const place = at == null ? numbers.length - 1 : Math.min(at, numbers.length - 1), epoch = numbers[place];
  const label = epoch ? `after epoch ${epoch}` : "before training";
  return html`<section class="card"><div class="chips" role="group" aria-label="First layer">
      <button class="small" aria-pressed=${String(kind === "weights")} onClick=${() => choose("weights")}>What units look for</button>
      <button class="small" aria-pressed=${String(kind === "fields")} onClick=${() => choose("fields")}>Where they look</button></div>
    <p class="muted">${kind === "weights" ? "The weights of the first layer's units, in the shape of the image." : "The first layer's receptive fields: bright pixels count most."}</p>
    <img class="pixels" src=${`api/runs/${encodeURIComponent(name)}/files/layers/${kind}-${String(epoch).padStart(4, "0")}.png`} alt=${`First layer ${label}: ${kind === "weights" ? "weights" : "receptive fields"} of its first units`} />
    <label class="field"><span>Epoch <output>${label}</output></span><input type="range" min="0" max=${numbers.length - 1} value=${place} aria-valuetext=${label} onInput=${(event) => go(+event.target.value)} /></label></section>`;
}

function Activations({ name, run }) {
  const [seen, set] = useState(null);
  const [problem, fail] = useState(null);
  const [found] = useAnswer(`runs/${encodeURIComponent(name)}/mistakes?split=validation`);
  const show = (index) => { set(null); fail(null); post(`runs/${encodeURIComponent(name)}/explain`, { split: "validation", index, layers: true }).then(set, (error) => fail(error.message)); };
  if (!found) return null;
  const offered = [...found.examples.filter((one) => one.label === one.answer).slice(0, 5), ...found.mistakes.slice(0, 5)];
  return html`<section class="card"><h2>A picture on its way through the layers</h2>
    <p class="row">${offered.map((one) => html`<button key=${one.index} class="small" onClick=${() => show(one.index)}>${found.class_names[one.label]}${one.label === one.answer ? "" : `, mistaken for ${found.class_names[one.answer]}`}</button>`)}</p>
    <${Problem}>${problem}<//>
    ${seen && html`<div class="layers"><figure><figcaption>the picture</figcaption><img src=${png(seen.picture)} alt="the picture" /></figure>
      ${seen.layers.map((one) => html`<figure key=${one.name}><figcaption>${one.name}</figcaption><img src=${png(one.picture)} alt=${`activations of ${one.name}`} /></figure>`)}</div>`}</section>`;
}
