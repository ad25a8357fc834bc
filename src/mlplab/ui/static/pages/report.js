// A run's report and its recipe.
import { html, useState } from "../vendor/htm/standalone.module.js";
import { Copied, Problem, Tabs, Wait, useAnswer } from "../parts.js";

export function Report({ name }) {
  const [run, problem] = useAnswer(name ? `runs/${encodeURIComponent(name)}` : null);
  const [tab, open] = useState("report");
  if (!name) return html`<h1>Report</h1><p>Choose a run under <a href="#/runs">Runs</a>.</p>`;
  if (problem) return html`<${Problem}>${problem}<//>`;
  if (!run) return html`<${Wait} />`;
  const source = `api/runs/${encodeURIComponent(name)}/files/report.html`;
  return html`<div class="row between"><h1><a href=${`#/watch/${name}`}>${name}</a></h1><a class="button small" href=${source} target="_blank" rel="noopener">Open the report alone</a></div>
    <${Tabs} tabs=${[["report", "Report"], ["recipe", "Recipe"], ["command", "Command"]]} open=${tab} choose=${open} label="Shown" controls="shown" />
    <div role="tabpanel" id="shown" aria-labelledby=${`tab-${tab}`}>${tab === "report" ? html`<iframe title=${`Report of ${name}`} src=${source}></iframe>`
      : html`<pre tabindex="0">${tab === "recipe" ? run.recipe : run.record.command}</pre><p><${Copied} text=${tab === "recipe" ? run.recipe : run.record.command} label=${tab} /></p>`}</div>`;
}
