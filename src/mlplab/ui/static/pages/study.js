// Studies: start one that ships, follow its table, read its page.
import { html, useState } from "../vendor/htm/standalone.module.js";
import { post } from "../api.js";
import { Problem, Wait, percent, useAnswer, useEvery, whole } from "../parts.js";

const size = ({ trainings, epochs }) => `${whole(trainings)} trainings of up to ${epochs} epochs`;

export function Study({ name, jobs, look }) {
  const [found, problem, again] = useAnswer("studies");
  const [refused, fail] = useState(null);
  useEvery(again, 3000);
  const start = (study, quick) => post("studies", { study, quick }).then(() => { fail(null); look(); }, (error) => fail(error.message));
  const busy = (study, quick) => jobs.some((job) => job.state !== "ended" && job.words[0] === "study" && job.words[1] === study && job.words.includes("--quick") === quick);
  if (name && found && !found.studies.some((study) => study.name === name && study.page)) return html`<p><a href="#/study">All studies</a></p><p>There is no page of a study of this name.</p>`;
  if (name) return html`<p><a href="#/study">All studies</a></p><h1>${name}</h1><iframe title=${`Page of the study ${name}`} src=${`api/studies/${encodeURIComponent(name)}/report.html`}></iframe>`;
  return html`<h1>Studies</h1><p class="muted">Many trainings that follow a plan: each variant gets the same number of trials, the best of each is trained again with new seeds, and a verdict says what is more than luck. A study that was stopped continues where it was.</p>
    <${Problem}>${problem || refused}<//>${!found && !problem && html`<${Wait} />`}
    ${(found?.studies || []).map((study) => html`<section key=${study.name} class="card"><div class="row between"><h2>${study.name}</h2>${study.page && html`<a class="button small" href=${`#/study/${encodeURIComponent(study.name)}`}>Open its page</a>`}</div><p>${study.title}</p>
      ${study.rows.length > 0 ? html`<div class="scroll" tabindex="0" role="region" aria-label=${`Variants of ${study.name}`}><table><thead><tr><th class="text">variant</th><th>trials ended</th><th>best validation</th><th>final runs ended</th><th>test, mean</th></tr></thead>
        <tbody>${study.rows.map((row) => html`<tr key=${row.variant}><th class="text" scope="row">${row.variant}</th><td>${row.trials_ended || 0} of ${row.trials || 0} begun</td><td>${percent(row.best)}</td><td>${row.finals_ended || 0}</td><td>${row.tests ? percent(row.tests.reduce((a, b) => a + b, 0) / row.tests.length) : "–"}</td></tr>`)}</tbody></table></div>` : html`<p class="muted">No trial has begun.</p>`}</section>`)}
    <h2>Built-in studies</h2><div class="grid">${(found?.shipped || []).map((study) => html`<section key=${study.name} class="card"><h3>${study.title}</h3><p class="muted">${study.text}</p>
      <p class="muted">Quick: ${size(study.quick)}. Whole: ${size(study.whole)}.</p>
      <div class="row"><button disabled=${busy(study.name, true)} onClick=${() => start(study.name, true)}>Run the quick version<span class="hidden"> of ${study.name}</span></button><button disabled=${busy(study.name, false)} onClick=${() => start(study.name, false)}>Run the whole study<span class="hidden"> ${study.name}</span></button></div></section>`)}</div>`;
}
