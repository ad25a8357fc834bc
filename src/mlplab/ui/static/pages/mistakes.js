// What a network gets wrong, and what it saw.
import { html, useEffect, useRef, useState } from "../vendor/htm/standalone.module.js";
import { png, post } from "../api.js";
import { Bars, Problem, RunChoice, Select, Wait, percent, useAnswer, useLatest, whole } from "../parts.js";

const SHOWN = 24;

export function Mistakes({ name }) {
  const [answer] = useAnswer("runs");
  const runs = (answer?.runs || []).filter((run) => run.metrics.validation);
  useLatest(name, runs, "mistakes");
  if (!answer) return html`<h1>Mistakes</h1><${Wait} />`;
  return html`<div class="row between"><h1>Mistakes</h1>${runs.length > 0 && html`<${RunChoice} value=${name} runs=${runs} page="mistakes" />`}</div>
    ${!runs.length ? html`<p>No run has been evaluated yet: <a href="#/start">train one</a>.</p>` : name && html`<${Of} name=${name} />`}`;
}

function Of({ name }) {
  const [split, choose] = useState("validation");
  const [found, problem] = useAnswer(`runs/${encodeURIComponent(name)}/mistakes?split=${split}`);
  const [cell, open] = useState(null);
  const [within, refused] = useAnswer(cell ? `runs/${encodeURIComponent(name)}/mistakes?split=${split}&label=${cell[0]}&answer=${cell[1]}` : null);
  const [one, look] = useState(null);
  const [more, show] = useState(SHOWN);
  useEffect(() => { open(null); look(null); show(SHOWN); }, [split]);
  if (problem) return html`<${Problem}>${problem}<//>`;
  if (!found) return html`<${Wait} />`;
  const names = found.class_names;
  const listed = cell ? within?.mistakes || [] : found.mistakes;
  const most = found.matrix && Math.max(1, ...found.matrix.flatMap((row, i) => row.filter((n, j) => i !== j)));
  const doubtful = found.doubtful;
  return html`<p>${whole(found.wrong)} of ${whole(found.images)} ${split} images are mistaken for another class: ${percent(found.wrong / found.images)}.
      ${found.splits.length > 1 && html` <label class="field choice">Images <${Select} value=${split} set=${choose} options=${found.splits.map((each) => [each, each])} /></label>`}</p>
    <div class="split"><div>
      <section class="card"><h2>Which class is mistaken for which</h2>
        ${found.matrix ? html`<div class="scroll" tabindex="0" role="region" aria-label="Confusion matrix"><table class="matrix"><caption class="hidden">Rows are the true classes, columns what the network says</caption>
          <thead><tr><td></td>${names.map((each) => html`<th key=${each} scope="col">${each}</th>`)}</tr></thead>
          <tbody>${found.matrix.map((row, i) => html`<tr key=${i}><th scope="row">${names[i]}</th>${row.map((n, j) => html`<td key=${j}>
            <${Cell} n=${n} right=${i === j} share=${n / most} chosen=${cell && cell[0] === i && cell[1] === j} label=${`${n} ${names[i]} ${i === j ? "right" : `mistaken for ${names[j]}`}`} open=${() => { open(cell && cell[0] === i && cell[1] === j ? null : [i, j]); show(SHOWN); }} /></td>`)}</tr>`)}</tbody></table></div>
          <p class="muted">Rows are the true classes, columns what the network says. Choose a number to see its pictures.</p>`
        : html`<p>${names.length} classes are too many for a table; the most confident mistakes are below.</p>`}</section>
      <section class="card"><h2>${cell ? `${names[cell[0]]} mistaken for ${names[cell[1]]}` : "The most confident mistakes"}</h2>
        ${cell && html`<p><button class="small" onClick=${() => open(null)}>All mistakes</button></p>`}
        <${Problem}>${refused}<//>
        ${cell && !within && !refused ? html`<${Wait} />` : listed.length ? html`<${Pictures} name=${name} split=${split} listed=${listed.slice(0, more)} names=${names} look=${look} chosen=${one} />` : html`<p class="muted">None${cell ? "" : ": every image is right"}.</p>`}
        ${listed.length > more && html`<button class="small" onClick=${() => show(more + SHOWN)}>Show more</button>`}</section>
      ${doubtful.length > 0 && html`<section class="card"><h2>Labels that may be wrong</h2><p class="muted">Images that the network, which was not trained on them, confidently assigns to another class. Look at them before you trust the figures.</p>
        <${Pictures} name=${name} split=${split} listed=${doubtful} names=${names} look=${look} chosen=${one} /></section>`}
    </div><aside>${one ? html`<${Seen} key=${`${split}/${one.index}`} name=${name} split=${split} one=${one} names=${names} />` : html`<section class="card"><p class="muted">Choose a picture to see what the network saw in it.</p></section>`}</aside></div>`;
}

function Cell({ n, right, share, chosen, label, open }) {
  const strong = !right && n > 0;
  return html`<button class=${right ? "right" : ""} disabled=${!n || right} aria-pressed=${String(Boolean(chosen))} aria-label=${label} onClick=${open}
    ref=${(element) => element && !right && (element.style.background = strong ? `color-mix(in oklab, var(--validation) ${Math.round(10 + 30 * share)}%, var(--card))` : "")}>${n}</button>`;
}

function Pictures({ name, split, listed, names, look, chosen }) {
  const [known, learn] = useState({});
  const [problem, fail] = useState(null);
  const key = listed.map((one) => one.index).join();
  useEffect(() => {
    let here = true;
    const wanted = listed.map((one) => one.index).filter((index) => !(index in known));
    if (wanted.length) post(`runs/${encodeURIComponent(name)}/pictures`, { split, indices: wanted }).then((found) => here && learn((before) => ({ ...before, ...Object.fromEntries(wanted.map((index, i) => [index, found.pictures[i]])) })), (error) => here && fail(error.message));
    return () => { here = false; };
  }, [key, name, split]);
  return html`<${Problem}>${problem}<//><ul class="pictures">${listed.map((one) => html`<li key=${one.index}><button aria-pressed=${String(chosen?.index === one.index)} onClick=${() => look(one)}>
    <img src=${known[one.index] ? png(known[one.index]) : "static/blank.svg"} alt="" /><span>${names[one.label]} <span aria-hidden="true">→</span><span class="hidden"> mistaken for</span> <strong>${names[one.answer]}</strong>${one.confidence != null ? ` ${percent(one.confidence, 0)}` : ""}</span></button></li>`)}</ul>`;
}

function Seen({ name, split, one, names }) {
  const [found, set] = useState(null);
  const [problem, fail] = useState(null);
  const here = useRef();
  useEffect(() => { if (innerWidth < 900) here.current.scrollIntoView({ block: "nearest" }); }, []);
  useEffect(() => { post(`runs/${encodeURIComponent(name)}/explain`, { split, index: one.index }).then(set, (error) => fail(error.message)); }, []);
  return html`<section class="card" ref=${here}><h2>${names[one.label]}, mistaken for ${names[one.answer]}</h2>
    ${one.file && html`<p class="muted">${one.file}</p>`}<${Problem}>${problem}<//>
    ${!found && !problem && html`<${Wait}>Asking the network …<//>`}
    ${found && html`<div class="seen"><figure><img src=${png(found.picture)} alt="what the network was given" /><figcaption>the picture</figcaption></figure>
      ${found.saliency && html`<figure><img src=${png(found.saliency)} alt="pixels that the answer depends on, bright where most" /><figcaption>pixels that mattered</figcaption></figure>`}</div>
      <${Bars} names=${found.classes} shares=${found.probabilities} truth=${names[one.label]} />
      <p class="muted">✓ is the label. Bright pixels affect the answer most.</p>`}</section>`;
}
