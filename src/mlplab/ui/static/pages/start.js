// Choose images and a network, and train.
import { html, useEffect, useRef, useState } from "../vendor/htm/standalone.module.js";
import { get, png, post, send } from "../api.js";
import { Ask, Copied, Network, Problem, Select, Tabs, Wait, duration, figure, useAnswer, whole } from "../parts.js";

const FIRST = ["quickstart", "published-honest", "mlp-fast", "mlp-budget"];
const OPTIMIZERS = ["adam", "sgd", "adamw", "nadam", "rmsprop", "adagrad", "lion", "muon"];
const RATES = { adam: 1e-3, sgd: 0.03, adamw: 1e-3, nadam: 1e-3, rmsprop: 1e-3, adagrad: 0.03, lion: 1e-4, muon: 0.02 };
const ACTIVATIONS = ["relu", "gelu", "silu", "elu", "leaky_relu", "tanh", "sigmoid", "linear"];
const HELP = {
  depth: "More layers can build on one another, and are harder to train.",
  width: "More units can remember more: they learn more, and overfit sooner.",
  activation: "The function that each unit applies to its weighted sum. With linear, all layers together act as one.",
  dropout: "Share of units that are switched off at random in each step, so that the network relies on none of them alone.",
  optimizer: "The rule that turns gradients into updates of the weights.",
  rate: "How far the weights move in a step. Too small is slow; too large never settles.",
  batch: "Images in a step. Larger batches make fewer, steadier steps.",
  epochs: "Passes over the training images, at most.",
  stop: "End when the validation loss no longer falls, and keep the best weights.",
  plateau: "Take smaller steps once the validation loss no longer falls.",
  flip: "Mirror images at random. It helps with photographs, but not with digits and letters.",
  shift: "Move images at random by up to this many pixels.",
  share: "Train on a part of the images, to try something quickly.",
};

// What was chosen stays while other pages are open.
const kept = { recipe: null, data: null, changes: {} };

// Begin with what a run was trained on, and how.
export function beginFrom(again) {
  Object.assign(kept, again);
  location.hash = "#/start";
}

const same = (one, other) => one.name === other.name && (one.path || null) === (other.path || null);

export function Start({ look }) {
  const [cards, problem] = useAnswer("recipes");
  const [sets, , again] = useAnswer("data");
  const [recipe, chooseRecipe] = useState(kept.recipe);
  const [data, chooseData] = useState(kept.data);
  const [changes, change] = useState(kept.changes);
  Object.assign(kept, { recipe, data, changes });
  const card = cards?.recipes.find((one) => one.name === (recipe || "quickstart"));

  const choose = (name) => { chooseRecipe(name); change({}); };
  if (problem) return html`<${Problem}>${problem}<//>`;
  if (!card || !sets) return html`<${Wait} />`;
  const chosen = (data && sets.sets.find((one) => same(one.data, data))) || sets.sets.find((one) => one.data.name === card.data) || sets.sets[0];
  const all = { ...asChanges(chosen, card), ...changes };
  const first = cards.recipes.filter((one) => FIRST.includes(one.name)).sort((a, b) => FIRST.indexOf(a.name) - FIRST.indexOf(b.name));
  const others = cards.recipes.filter((one) => !FIRST.includes(one.name));
  return html`<h1>Train a network on images</h1>
    <div class="split">
      <div>
        <section class="card"><h2>1 · The images</h2>
          <${Sets} sets=${sets.sets} chosen=${chosen} choose=${(one) => chooseData(one.data)} again=${again} /></section>
        <section class="card"><h2>2 · A recipe to start from</h2>
          <div class="recipes">${first.map((one) => html`<${Card} key=${one.name} card=${one} chosen=${one === card} choose=${choose} />`)}</div>
          <details><summary>All ${others.length + first.length} recipes</summary><div class="recipes">${others.map((one) => html`
            <${Card} key=${one.name} card=${one} chosen=${one === card} choose=${choose} />`)}</div></details></section>
        <section class="card"><h2>3 · Change what you like</h2>
          <${Knobs} tables=${card.tables} changes=${all} change=${(more) => change({ ...changes, ...more })} />
          ${Object.keys(changes).length > 0 && html`<p><button class="small" onClick=${() => change({})}>Undo all changes</button></p>`}</section>
      </div>
      <aside><${Draft} card=${card} changes=${all} look=${look} there=${chosen.there} set=${chosen} /></aside>
    </div>`;
}

// The recipe's keys for a data set, where they are not the recipe's own.
function asChanges(set, card) {
  const found = {};
  for (const [key, value] of Object.entries(set.data)) if (card.tables.data[key] !== value) found[`data.${key}`] = value;
  if (set.data.name !== "folder" && card.tables.data.name === "folder") found["data.path"] = null;
  return found;
}

function Sets({ sets, chosen, choose, again }) {
  const [facts, set] = useState(null);
  const [problem, fail] = useState(null);
  const [asked, ask] = useState(false);
  const key = JSON.stringify(chosen.data);
  useEffect(() => {
    let here = true;
    set(null); fail(null);
    if (chosen.there) post("data", chosen.data).then((found) => here && set(found), (error) => here && fail(error.message));
    return () => { here = false; };
  }, [key]);
  const there = sets.filter((one) => one.there), missing = sets.filter((one) => !one.there);
  return html`<div class="chips" role="group" aria-label="Images">${there.map((one) => html`
      <button key=${one.title} aria-pressed=${String(one.title === chosen.title)} onClick=${() => choose(one)}>${one.title}</button>`)}</div>
    ${facts && html`<p>${whole(facts.splits.train.images)} images to train on, ${whole(facts.splits.test.images)} to test, in ${facts.classes.length} classes, ${facts.image_shape.slice(0, 2).join("×")} pixels${facts.image_shape[2] === 3 ? " in colour" : ""}.</p>
      <div class="samples">${facts.samples.map((one, i) => html`<img key=${i} src=${png(one.picture)} alt=${one.class} title=${one.class} />`)}</div>
      ${facts.skipped.length > 0 && html`<p class="banner">${facts.skipped.length} files could not be read, such as ${facts.skipped[0]}</p>`}`}
    ${!facts && !problem && chosen.there && html`<${Wait}>Reading the images …<//>`}
    <${Problem}>${problem}<//>
    ${chosen.data.path && html`<p><button class="small danger" onClick=${() => ask(true)}>Remove these images …</button></p>`}
    ${asked && html`<${Ask} title=${`Remove ${chosen.title}?`} yes="Remove" no="Keep" danger act=${() => send("DELETE", `sets/${encodeURIComponent(chosen.title)}`).then(again)} close=${() => ask(false)}><p>Your own copies stay. Runs that were trained on these images keep their results, but can no longer show the images.</p><//>`}
    <${Drop} done=${(name) => again().then(() => get("data")).then((found) => { const own = found.sets.find((one) => one.title === name); if (own) choose(own); })} />
    ${missing.length > 0 && html`<details><summary>Published data sets that are not on this machine</summary><p>${missing.map((one) => html`<code key=${one.title}>mlplab data fetch ${one.title}</code> `)}</p></details>`}`;
}

function Drop({ done }) {
  const [over, enter] = useState(false);
  const [state, say] = useState(null);
  const [problem, fail] = useState(null);
  const finish = async (set) => { await send("PUT", "sets", JSON.stringify({ set })); await done(set); };
  const take = async (files, name) => {
    fail(null);
    try {
      if (files.length === 1 && files[0].file.name.toLowerCase().endsWith(".zip")) {
        const { set } = await post("sets", { name: clean(files[0].file.name.slice(0, -4)) });
        say("Unpacking …");
        await send("POST", `images/${encodeURIComponent(set)}`, files[0].file);
        await finish(set);
      } else {
        const { set: title } = await post("sets", { name: clean(name || "my images") });
        let sent = 0;
        const left = [...files];
        const sender = async () => {
          for (let one = left.pop(); one; one = left.pop()) {
            await send("POST", `images/${encodeURIComponent(title)}/${one.path.split("/").map(encodeURIComponent).join("/")}`, one.file);
            sent += 1;
            if (sent % 20 === 0 || sent === files.length) say(`${whole(sent)} of ${whole(files.length)} files`);
          }
        };
        await Promise.all([sender(), sender(), sender(), sender()]);
        await finish(title);
      }
      say(null);
    } catch (error) { say(null); fail(error.message); }
  };
  const dropped = async (event) => {
    event.preventDefault();
    enter(false);
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean);
    const found = (await Promise.all(entries.map((entry) => walk(entry, "")))).flat();
    const root = entries.length === 1 && entries[0].isDirectory ? entries[0].name : null;
    take(root ? found.map((one) => ({ ...one, path: one.path.slice(root.length + 1) })) : found, root);
  };
  const picked = (event) => {
    const files = [...event.target.files];
    const root = files[0]?.webkitRelativePath.split("/")[0];
    take(files.map((file) => ({ file, path: file.webkitRelativePath ? file.webkitRelativePath.slice(root.length + 1) : file.name })), root);
  };
  return html`<div class=${over ? "drop over" : "drop"} onDragOver=${(event) => { event.preventDefault(); enter(true); }} onDragLeave=${() => enter(false)} onDrop=${dropped}>
      Your own images: drop a folder that has one subfolder of pictures per class, or a zip of it.
      <div class="row"><label class="button small">Choose a folder<input class="hidden" type="file" webkitdirectory multiple onChange=${picked} /></label>
      <label class="button small">Choose a zip<input class="hidden" type="file" accept=".zip" onChange=${picked} /></label>${state && html`<span role="status">${state}</span>`}</div></div>
    <${Problem}>${problem}<//>`;
}

const clean = (name) => name.replace(/[^A-Za-z0-9._ -]+/g, "-").replace(/^[^A-Za-z0-9]+/, "").slice(0, 60) || "images";

async function walk(entry, base) {
  const path = base + entry.name;
  if (entry.isFile) return [{ file: await new Promise((yes, no) => entry.file(yes, no)), path }];
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((yes, no) => reader.readEntries(yes, no));
    if (!some.length) return found;
    for (const one of some) found.push(...(await walk(one, `${path}/`)));
  }
}

function Card({ card, chosen, choose }) {
  return html`<button class="recipe" aria-pressed=${String(chosen)} onClick=${() => choose(card.name)}>
    <${Sketch} model=${card.tables.model} /><strong>${card.name}</strong><span class="what">${card.text}</span>
    <span class="figures muted">${[card.test && `test ${card.test}`, card.time, card.data].filter(Boolean).join(" · ")}</span></button>`;
}

// A network in a few strokes: a bar for each hidden layer, or its family.
function Sketch({ model }) {
  const widths = Array.isArray(model.hidden) ? model.hidden.slice(0, 8) : null;
  const bars = widths || [64, 48, 32, 16];
  const most = Math.max(...bars.map((n) => Math.log2(n + 1)));
  return html`<svg class="sketch" width="44" height="44" viewBox="0 0 44 44" aria-hidden="true">${bars.map((n, i) => {
    const tall = (40 * Math.log2(n + 1)) / most, wide = Math.min(10, 40 / bars.length - 2);
    return html`<rect key=${i} x=${2 + i * (wide + 2)} y=${22 - tall / 2} width=${wide} height=${tall} rx="2" opacity=${widths ? 1 : 0.35 + 0.2 * i} />`;
  })}</svg>`;
}

function Knobs({ tables, changes, change }) {
  const value = (key) => (key in changes ? changes[key] : key.split(".").reduce((at, part) => at?.[part], tables));
  const hidden = value("model.hidden");
  const dense = Array.isArray(hidden) && hidden.length > 0;
  const optimizer = value("optimizer.name");
  const stopping = tables.callbacks?.early_stopping;
  const rate = value("optimizer.learning_rate");
  return html`<div class="fields">
    ${dense && html`<${Slider} id="depth" label="Hidden layers" help=${HELP.depth} min=1 max=8 value=${hidden.length} set=${(n) => change({ "model.hidden": new Array(n).fill(hidden[0]) })} />
      <${Slider} id="width" label="Units in each" help=${HELP.width} min=3 max=12 step=0.5 value=${Math.log2(hidden[0])} shown=${new Set(hidden).size > 1 ? hidden.join(", ") : hidden[0]} set=${(n) => change({ "model.hidden": hidden.map(() => Math.round(2 ** n)) })} />`}
    ${value("model.activation") != null && html`<${Choice} id="activation" label="Activation" help=${HELP.activation} options=${ACTIVATIONS} value=${value("model.activation")} set=${(name) => change({ "model.activation": name })} />`}
    ${typeof value("model.dropout") === "number" && html`<${Slider} id="dropout" label="Dropout" help=${HELP.dropout} min=0 max=0.8 step=0.05 value=${value("model.dropout")} set=${(n) => change({ "model.dropout": +n.toFixed(2) })} />`}
    <${Choice} id="optimizer" label="Optimizer" help=${HELP.optimizer} options=${OPTIMIZERS} value=${optimizer} set=${(name) => change({ "optimizer.name": name, "optimizer.learning_rate": name === tables.optimizer.name ? tables.optimizer.learning_rate : RATES[name], "optimizer.momentum": name === "sgd" && name !== tables.optimizer.name ? 0.9 : undefined })} />
    ${rate > 0 && html`<${Slider} id="rate" label="Learning rate" help=${HELP.rate} min=-5 max=0 step=0.1 value=${Math.log10(rate)} shown=${figure(rate)} set=${(n) => change({ "optimizer.name": optimizer, "optimizer.learning_rate": +(10 ** n).toPrecision(2) })} />`}
    <${Slider} id="batch" label="Batch size" help=${HELP.batch} min=4 max=10 value=${Math.log2(value("training.batch_size"))} shown=${value("training.batch_size")} set=${(n) => change({ "training.batch_size": 2 ** n })} />
    <${Slider} id="epochs" label="Epochs, at most" help=${HELP.epochs} min=1 max=200 value=${value("training.epochs")} set=${(n) => change({ "training.epochs": n })} />
    ${stopping && html`<${Switch} id="stop" label="Early stopping" help=${HELP.stop} value=${value("callbacks.early_stopping") !== null} set=${(on) => change({ "callbacks.early_stopping": on ? undefined : null })} />`}
    <${Switch} id="plateau" label="Lower the rate on a plateau" help=${HELP.plateau} value=${value("callbacks.plateau.name") != null} set=${(on) => change({ "callbacks.plateau.name": on ? "ReduceLROnPlateau" : undefined })} />
    <${Switch} id="flip" label="Mirror images" help=${HELP.flip} value=${value("augment.flip") !== "none"} set=${(on) => change({ "augment.flip": on ? "random" : "none" })} />
    <${Slider} id="shift" label="Shift images" help=${HELP.shift} min=0 max=6 value=${value("augment.shift")} set=${(n) => change({ "augment.shift": n })} />
    <${Slider} id="share" label="Share of the images" help=${HELP.share} min=0.05 max=1 step=0.05 value=${value("data.share")} shown=${`${Math.round(100 * value("data.share"))} %`} set=${(n) => change({ "data.share": +n.toFixed(2) })} />
  </div>`;
}

function Slider({ id, label, help, min, max, step = 1, value, shown, set }) {
  return html`<div class="field" title=${help}><label for=${id}>${label} <output for=${id}>${shown ?? value}</output></label>
    <input id=${id} type="range" min=${min} max=${max} step=${step} value=${value} aria-valuetext=${String(shown ?? value)} aria-describedby=${`${id}-help`} onInput=${(event) => set(+event.target.value)} />
    <small id=${`${id}-help`}>${help}</small></div>`;
}

function Choice({ id, label, help, options, value, set }) {
  return html`<div class="field" title=${help}><label for=${id}>${label}</label>
    <${Select} id=${id} aria-describedby=${`${id}-help`} value=${value} set=${set} options=${[...new Set([value, ...options])].map((name) => [name, name])} />
    <small id=${`${id}-help`}>${help}</small></div>`;
}

function Switch({ id, label, help, value, set }) {
  return html`<div class="field" title=${help}><label><input id=${id} type="checkbox" checked=${value} aria-describedby=${`${id}-help`} onChange=${(event) => set(event.target.checked)} /> ${label}</label>
    <small id=${`${id}-help`}>${help}</small></div>`;
}

// What was chosen, as network, command, recipe and program, always in step; and Train.
function Draft({ card, changes, look, there, set }) {
  const asked = { recipe: card.name, changes: JSON.parse(JSON.stringify(changes)) };
  const [draft, write] = useState(null);
  const [network, drawn] = useState(null);
  const [problem, fail] = useState(null);
  const [tab, open] = useState("command");
  const [name, call] = useState("");
  const [seeds, repeat] = useState(1);
  const key = JSON.stringify([asked, name, seeds]);
  const [busy, wait] = useState(false);
  const [refused, refuse] = useState(null);
  const last = useRef();
  last.current = key;
  useEffect(() => {
    const here = (act) => (found) => { if (last.current === key) act(found); };
    const timer = setTimeout(() => {
      post("draft", { ...asked, name: name || null, seeds: [...new Array(seeds).keys()] }).then(here((found) => { write(found); fail(null); }), here((error) => { write(null); fail(error.message); }));
      if (!there) drawn(null);
      else post("network", asked).then(here(drawn), here((error) => { drawn(null); fail(error.message); }));
    }, 250);
    return () => clearTimeout(timer);
  }, [key]);
  const train = async () => {
    wait(true);
    try {
      const body = { ...asked, seeds: [...new Array(seeds).keys()], name: name || null, group: name || null };
      const made = await post("train", body);
      look();
      location.hash = `#/watch/${made.runs[0]}`;
    } catch (error) { refuse(error.message); wait(false); }
  };
  const stopping = changes["callbacks.early_stopping"] === null ? null : card.tables.callbacks?.early_stopping;
  const stops = stopping && stopping.patience < (changes["training.epochs"] ?? card.tables.training.epochs);
  const text = { command: draft?.command, recipe: draft?.toml, program: network?.program || network?.no_program };
  return html`<section class="card"><h2>${card.name}</h2>
    ${network ? html`<${Network} layers=${network.layers} input=${network.input} />
      <p><strong>${whole(network.parameters)}</strong> parameters; about <strong>${duration(network.seconds * seeds)}</strong>${seeds > 1 ? ` for ${seeds} seeds` : ""}${stops ? " at most: early stopping usually ends it much sooner" : ""}.</p>`
      : !problem && there && html`<${Wait}>Drawing the network …<//>`}
    <${Problem}>${problem || refused || (there ? null : `${set.title} is not on this machine: mlplab data fetch ${set.title}`)}<//>
    <div class="row">
      <label class="field">Name <input value=${name} placeholder=${card.name} onInput=${(event) => { call(event.target.value); refuse(null); }} size="16" /></label>
      <label class="field">Seeds <${Select} value=${seeds} set=${(n) => repeat(+n)} options=${[1, 3, 5, 10].map((n) => [n, n])} /></label>
      <button class="main" disabled=${busy || !there || !draft || problem} onClick=${train}>Train</button>
    </div>
    <p class="muted">One run says little: with three seeds or more, Compare can tell a difference from luck.</p>
    <${Tabs} tabs=${[["command", "Command"], ["recipe", "Recipe"], ["program", "Keras program"]]} open=${tab} choose=${open} label="The same in words" controls="words" />
    <div role="tabpanel" id="words" aria-labelledby=${`tab-${tab}`}><pre class=${tab === "command" ? "command" : ""} tabindex="0">${text[tab] || "…"}</pre>
      ${text[tab] && html`<p><${Copied} text=${text[tab]} label=${tab} /></p>`}</div></section>`;
}
