// All runs: sorted, filtered, grouped, laid over one another.
import { html, useEffect, useMemo, useRef, useState } from "../vendor/htm/standalone.module.js";
import { get, send } from "../api.js";
import { Ask, Curves, Problem, Status, Wait, duration, figure, percent, useAnswer, useEvery, whole } from "../parts.js";

const COLUMNS = [
  ["name", "run", (run) => run.name, true], ["data", "images", (run) => run.data, true], ["status", "status", (run) => run.status, true],
  ["validation", "validation", (run) => (run.selected_on === "test" ? null : run.metrics.validation?.accuracy)], ["test", "test", (run) => run.metrics.test?.accuracy],
  ["epochs", "epochs", (run) => run.epochs], ["seconds", "took", (run) => run.seconds], ["parameters", "parameters", (run) => run.parameters], ["started", "started", (run) => run.started, true],
];
const SHOWN = 200;
const MOST = 24;

export function Runs() {
  const [answer, problem, again] = useAnswer("runs");
  const [filter, narrow] = useState("");
  const [order, sort] = useState(["started", -1]);
  const [grouped, group] = useState(false);
  const [chosen, choose] = useState(() => new Set());
  const [more, show] = useState(SHOWN);
  const [asked, ask] = useState(null);
  const turn = useRef(0);
  useEvery(() => { turn.current += 1; if (!(answer?.runs.length > 500) || turn.current % 12 === 0) again(); }, 5000);
  const runs = answer?.runs || [];
  const rows = useMemo(() => {
    const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = runs.filter((run) => { const text = `${run.name} ${run.recipe} ${run.group || ""} ${run.data} ${run.status} ${run.config_id}`.toLowerCase(); return words.every((word) => text.includes(word)); });
    const value = COLUMNS.find(([key]) => key === order[0])[2];
    return fits.sort((a, b) => { const one = value(a), other = value(b); return one == null ? 1 : other == null ? -1 : order[1] * (one < other ? -1 : one > other ? 1 : 0); });
  }, [answer, filter, order]);
  if (problem && !answer) return html`<h1>Runs</h1><${Problem}>${problem}<//>`;
  if (!answer) return html`<h1>Runs</h1><${Wait} />`;
  if (!runs.length) return html`<h1>Runs</h1><p>Nothing has been trained yet: <a href="#/start">start</a>.</p>`;
  const toggle = (names) => { const next = new Set(chosen); const all = names.every((name) => next.has(name)); for (const name of names) { if (all) next.delete(name); else next.add(name); } choose(next); };
  const own = runs.filter((run) => chosen.has(run.name));
  const ids = [...new Set(own.map((run) => run.config_id))];
  const compared = ids.map((id) => { const some = own.filter((run) => run.config_id === id); const every = runs.filter((run) => run.config_id === id); return some.length === every.length || some.length > 1 ? id : some[0].name; });
  return html`<h1>Runs</h1>
    <div class="row"><label class="field choice">Find <input type="search" value=${filter} placeholder="name, recipe, group, images" size="26" onInput=${(event) => { narrow(event.target.value); show(SHOWN); }} /></label>
      <label><input type="checkbox" checked=${grouped} onChange=${(event) => group(event.target.checked)} /> by configuration</label>
      <span class="muted" role="status">${rows.length === runs.length ? `${whole(runs.length)} runs` : `${whole(rows.length)} of ${whole(runs.length)} runs`}${own.length ? `, ${own.length} selected` : ""}</span></div>
    ${own.length > 0 && html`<section class="card"><div class="row between"><div class="row">
        <a class="button" aria-disabled=${ids.length < 2 ? "true" : null} href=${ids.length < 2 ? null : `#/compare?${compared.map((side) => `side=${encodeURIComponent(side)}`).join("&")}`}>Compare</a>
        <span class="muted">${ids.length < 2 ? "Choose runs of two configurations to compare them." : "If you choose several runs of a configuration, all its seeds are compared."}</span></div>
        <div class="row"><button class="small" onClick=${() => choose(new Set())}>Clear selection</button><button class="small danger" onClick=${() => ask(own)}>Delete …</button></div></div>
      <${Overlaid} runs=${own} /></section>`}
    <div class="scroll" tabindex="0" role="region" aria-label="All runs">${grouped ? html`<${Groups} rows=${rows} chosen=${chosen} toggle=${toggle} more=${more} />`
      : html`<table><thead><tr><th><span class="hidden">chosen</span></th>${COLUMNS.map(([key, title, , text]) => html`<th key=${key} class=${text ? "text" : ""} aria-sort=${order[0] === key ? (order[1] > 0 ? "ascending" : "descending") : "none"}>
          <button onClick=${() => sort([key, order[0] === key ? -order[1] : text && key !== "started" ? 1 : -1])}>${title}${order[0] === key ? (order[1] > 0 ? " ↑" : " ↓") : ""}</button></th>`)}</tr></thead>
        <tbody>${rows.slice(0, more).map((run) => html`<tr key=${run.name} class=${chosen.has(run.name) ? "chosen" : ""}>
          <td><input type="checkbox" aria-label=${`choose ${run.name}`} checked=${chosen.has(run.name)} onChange=${() => toggle([run.name])} /></td>
          <td class="text"><a href=${`#/watch/${encodeURIComponent(run.name)}`}>${run.name}</a></td><td class="text">${run.data}</td><td class="text"><${Status} status=${run.status} /></td>
          <td>${run.selected_on === "test" ? html`<span class="muted">chosen on test</span>` : percent(run.metrics.validation?.accuracy)}</td><td>${percent(run.metrics.test?.accuracy)}</td>
          <td>${run.epochs}</td><td>${duration(run.seconds || null)}</td><td>${whole(run.parameters)}</td><td class="text">${(run.started || "").slice(0, 16).replace("T", " ")}</td></tr>`)}</tbody></table>`}</div>
    ${rows.length > more && html`<p><button onClick=${() => show(more + 5 * SHOWN)}>Show more</button></p>`}
    ${asked && html`<${Deleting} runs=${asked} done=${() => { ask(null); choose(new Set()); again(); }} close=${() => ask(null)} />`}`;
}

function mean(values) {
  const known = values.filter((value) => value != null);
  if (!known.length) return [null, null];
  const middle = known.reduce((a, b) => a + b, 0) / known.length;
  return [middle, known.length > 1 ? Math.sqrt(known.reduce((a, b) => a + (b - middle) ** 2, 0) / (known.length - 1)) : null];
}

const spread = ([middle, deviation]) => (middle == null ? "–" : deviation == null ? percent(middle) : `${(100 * middle).toFixed(1)} ± ${(100 * deviation).toFixed(1)} %`);

function Groups({ rows, chosen, toggle, more }) {
  const groups = new Map();
  for (const run of rows) groups.set(run.config_id, [...(groups.get(run.config_id) || []), run]);
  return html`<table><thead><tr><th><span class="hidden">chosen</span></th><th class="text">configuration</th><th class="text">images</th><th>seeds</th><th>validation</th><th>test</th><th>parameters</th></tr></thead>
    <tbody>${[...groups].slice(0, more).map(([id, runs]) => { const names = runs.map((run) => run.name), on = names.every((name) => chosen.has(name)); return html`<tr key=${id} class=${on ? "chosen" : ""}>
      <td><input type="checkbox" aria-label=${`choose ${id}`} checked=${on} onChange=${() => toggle(names)} /></td>
      <td class="text">${runs[0].group || runs[0].recipe} <span class="muted">${id}</span></td><td class="text">${runs[0].data}</td><td>${new Set(runs.map((run) => run.seed)).size}</td>
      <td>${spread(mean(runs.map((run) => (run.selected_on === "test" ? null : run.metrics.validation?.accuracy))))}</td><td>${spread(mean(runs.map((run) => run.metrics.test?.accuracy)))}</td><td>${whole(runs[0].parameters)}</td></tr>`; })}</tbody></table>`;
}

const CURVES = [["val_accuracy", "Validation accuracy", percent], ["val_loss", "Validation loss", figure], ["accuracy", "Training accuracy", percent], ["loss", "Training loss", figure]];

// Curves of some runs: those of one configuration as their mean, with a band over seeds.
export function Overlaid({ runs }) {
  const [what, choose] = useState("val_accuracy");
  const [known, learn] = useState({});
  const asked = useRef(new Set());
  const names = runs.slice(0, MOST).map((run) => run.name), epochs = new Map(runs.map((run) => [run.name, run.epochs]));
  useEffect(() => {
    for (const name of names) {
      const key = `${name} ${epochs.get(name)}`;
      if (asked.current.has(key)) continue;
      asked.current.add(key);
      get(`runs/${encodeURIComponent(name)}`).then((found) => learn((before) => ({ ...before, [name]: found.history })), () => {});
    }
  }, [names.map((name) => `${name} ${epochs.get(name)}`).join()]);
  const groups = new Map();
  for (const run of runs.slice(0, MOST)) if (known[run.name]) groups.set(run.config_id, [...(groups.get(run.config_id) || []), run]);
  const series = [...groups.values()].map((some, place) => {
    const histories = some.map((run) => known[run.name]);
    const x = [...new Set(histories.flatMap((rows) => rows.map((row) => row.epoch)))].sort((a, b) => a - b);
    const at = (epoch) => histories.map((rows) => rows.find((row) => row.epoch === epoch)?.[what]).filter((value) => value != null);
    const name = some.length > 1 ? `${some[0].group || some[0].recipe} (${some.length} seeds)` : some[0].name;
    const values = x.map(at);
    return { name, place, x, y: values.map((some) => mean(some)[0]), ...(some.length > 1 ? { low: values.map((some) => (some.length ? Math.min(...some) : null)), high: values.map((some) => (some.length ? Math.max(...some) : null)) } : {}) };
  });
  const [, title, shown] = CURVES.find(([key]) => key === what);
  return html`<div class="chips" role="group" aria-label="Curve">${CURVES.map(([key, label]) => html`<button key=${key} class="small" aria-pressed=${String(key === what)} onClick=${() => choose(key)}>${label}</button>`)}</div>
    <${Curves} title=${title} series=${series} shown=${shown} height=${300} />
    ${runs.length > MOST && html`<p class="muted">The first ${MOST} of ${runs.length} are drawn.</p>`}
    ${series.some((one) => one.low) && html`<p class="muted">Lines are means over seeds; bands reach from the lowest seed to the highest.</p>`}`;
}

function Deleting({ runs, done, close }) {
  const remove = async () => {
    const kept = [];
    for (const run of runs) await send("DELETE", `runs/${encodeURIComponent(run.name)}`).catch((error) => kept.push(error.message));
    if (kept.length) throw new Error(`${runs.length - kept.length} deleted. ${kept.join("; ")}`);
    done();
  };
  const one = runs.length === 1;
  return html`<${Ask} title=${`Delete ${one ? runs[0].name : `${runs.length} runs`}?`} yes="Delete" no="Keep" danger act=${remove} close=${close}>
    <p>${one ? "Its folder, with network, curves and report, is" : "Their folders, with networks, curves and reports, are"} deleted for good.</p>
    ${!one && html`<p class="muted">${runs.slice(0, 8).map((run) => run.name).join(", ")}${runs.length > 8 ? " …" : ""}</p>`}<//>`;
}
