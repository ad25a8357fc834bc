// Configurations, compared as `mlplab compare` does, with its verdicts.
import { html, useMemo } from "../vendor/htm/standalone.module.js";
import { Copied, Problem, Wait, duration, percent, useAnswer } from "../parts.js";
import { Overlaid } from "./runs.js";

export function Compare() {
  const sides = useMemo(() => new URLSearchParams(location.hash.split("?")[1] || "").getAll("side"), [location.hash]);
  const [found, problem] = useAnswer(sides.length > 1 ? `compare?${sides.map((side) => `side=${encodeURIComponent(side)}`).join("&")}` : null);
  const [runs] = useAnswer("runs");
  const own = (runs?.runs || []).filter((run) => sides.includes(run.config_id) || sides.includes(run.name) || sides.includes(run.group));
  const command = `mlplab compare ${sides.join(" ")}`;
  const title = (id) => { const run = own.find((one) => one.config_id === id); return run ? `${run.group || run.recipe}` : ""; };
  if (sides.length < 2) return html`<h1>Compare</h1><p>Choose runs of two configurations or more under <a href="#/runs">Runs</a>.</p>`;
  return html`<h1>Is one better, or is it luck?</h1>
    <${Problem}>${problem}<//>
    ${!found && !problem && html`<${Wait} />`}
    ${found && html`
      <section class="card"><h2>Verdict</h2>${found.pairings.map((one) => html`<p key=${one.first} class="big verdict">${named(one.verdict, sides, title)}</p>
        <p class="muted">${one.n} ${one.n === 1 ? "pair" : "pairs"} of runs with the same seed on ${found.split} images${one.low != null ? `; ${points(one.mean)} points on average, ${Math.round(100 * one.confidence)} % interval ${points(one.low)} to ${points(one.high)}` : ""}.</p>`)}
        ${found.notes.map((text) => html`<p key=${text} class="muted">${text}</p>`)}</section>
      <section class="card"><div class="scroll" tabindex="0" role="region" aria-label="Accuracies"><table><thead><tr><th class="text">configuration</th><th>runs</th><th>validation</th><th>test</th><th>training time</th></tr></thead>
        <tbody>${found.entries.map((one) => html`<tr key=${one.name}><th class="text" scope="row">${title(one.name) || one.name} <span class="muted">${one.config_id}</span></th><td>${one.n}</td>
          <td>${spread(one.accuracy.validation)}</td><td>${spread(one.accuracy.test)}</td><td>${duration(one.cost.seconds)}</td></tr>`)}</tbody></table></div>
        <p><code>${command}</code> <${Copied} text=${command} label="command" /></p></section>`}
    ${own.length > 0 && html`<section class="card"><${Overlaid} runs=${own} /></section>`}`;
}

const points = (share) => (100 * share).toFixed(1);
const spread = (one) => (!one || one.mean == null ? "–" : one.sd == null ? percent(one.mean) : `${(100 * one.mean).toFixed(1)} ± ${(100 * one.sd).toFixed(1)} %`);

// A verdict names configurations by their ids; people by their groups.
function named(text, sides, title) {
  const titles = sides.map(title);
  const short = (side, i) => (titles.filter((one) => one === titles[i]).length > 1 ? `${titles[i]} (${side.slice(0, 6)})` : titles[i]);
  return sides.reduce((said, side, i) => (titles[i] ? said.replaceAll(side, short(side, i)) : said), text);
}
