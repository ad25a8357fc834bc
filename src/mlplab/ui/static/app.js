// The frame of all pages: what is open, and what the queue does.
import { html, render, useEffect, useRef, useState } from "./vendor/htm/standalone.module.js";
import { get, send } from "./api.js";
import { Problem, useEvery } from "./parts.js";
import { Start } from "./pages/start.js";
import { Watch } from "./pages/watch.js";
import { Runs } from "./pages/runs.js";
import { Compare } from "./pages/compare.js";
import { Mistakes } from "./pages/mistakes.js";
import { Try } from "./pages/try.js";
import { Study } from "./pages/study.js";
import { Report } from "./pages/report.js";

const PAGES = {
  start: ["Start", Start], watch: ["Watch", Watch], runs: ["Runs", Runs], compare: ["Compare", Compare],
  mistakes: ["Mistakes", Mistakes], try: ["Try", Try], study: ["Study", Study], report: ["Report", Report],
  missing: ["Not found", Missing],
};
const PARENT = { compare: "runs", report: "runs" };
const LINKS = ["start", "watch", "runs", "mistakes", "try", "study"];

function place() {
  const [page, name] = location.hash.replace(/^#\/?/, "").split("?")[0].split("/");
  try {
    return { page: !page ? "start" : PAGES[page] ? page : "missing", name: name ? decodeURIComponent(name) : null };
  } catch { // a damaged address
    return { page: "missing", name: null };
  }
}

function App() {
  const [here, go] = useState(place());
  const [jobs, setJobs] = useState([]);
  const [lost, setLost] = useState(null);
  const heading = useRef();
  useEffect(() => {
    let before = place().page;
    const moved = () => {
      const next = place();
      go(next);
      if (next.page !== before) { scrollTo(0, 0); heading.current?.focus({ preventScroll: true }); }
      before = next.page;
    };
    addEventListener("hashchange", moved);
    return () => removeEventListener("hashchange", moved);
  }, []);
  const look = () => get("jobs").then((found) => { setJobs(found.jobs); setLost(null); }, (error) => setLost(error.message));
  useEvery(look, 1500);
  const [title, Page] = PAGES[here.page];
  useEffect(() => { document.title = `${here.name ? `${here.name} · ` : ""}${title} · mlplab`; }, [here.page, here.name]);
  const busy = jobs.filter((job) => job.state !== "ended");
  const failed = jobs.filter((job) => job.failed && Date.now() / 1000 - (job.ended ?? job.asked) < 600);
  return html`
    <a class="skip" href="#main" onClick=${(event) => { event.preventDefault(); heading.current?.focus(); }}>Skip to content</a>
    <header class="top">
      <a class="brand" href="#/start"><img src="static/icon.svg" alt="" width="26" height="26" />mlplab</a>
      <nav aria-label="Pages"><ul>${LINKS.map((key) => html`
        <li key=${key}><a href=${`#/${key}`} aria-current=${key === (PARENT[here.page] || here.page) ? "page" : null}>${PAGES[key][0]}</a></li>`)}</ul></nav>
      <${Queued} key=${`${here.page}/${here.name}`} jobs=${busy} look=${look} />
    </header>
    ${lost && html`<p class="banner" role="alert">${lost}</p>`}
    ${failed.map((job) => html`<${Failed} key=${job.id} job=${job} />`)}
    <main id="main" ref=${heading} tabindex="-1"><${Page} key=${`${here.page}/${here.name}`} name=${here.name} jobs=${jobs} look=${look} /></main>`;
}

function Missing() {
  return html`<h1>There is no such page</h1><p><a href="#/start">Train a network</a> or look at <a href="#/runs">all runs</a>.</p>`;
}

function Queued({ jobs, look }) {
  const [problem, fail] = useState(null);
  const stop = (job) => send("DELETE", `jobs/${job.id}`).then(() => fail(null), (error) => fail(error.message)).then(look);
  if (!jobs.length) return null;
  const running = jobs.find((job) => job.state === "running");
  return html`<details class="queue"><summary>${running ? running.title : "starting"}${jobs.length > 1 ? ` and ${jobs.length - 1} more` : ""}</summary>
    <ul>${jobs.map((job) => html`<li key=${job.id}>
      ${job.runs.length && job.state === "running" ? html`<a href=${`#/watch/${job.runs[0]}`}>${job.title}</a>` : html`<span>${job.title}</span>`}
      <span class="muted">${job.stopped ? "stopping" : job.state}</span>
      <button class="small" disabled=${job.stopped} onClick=${() => stop(job)}>${job.state === "waiting" ? "Remove" : "Stop"}<span class="hidden"> ${job.title}</span></button>
    </li>`)}</ul><${Problem}>${problem}<//></details>`;
}

function Failed({ job }) {
  const [gone, dismiss] = useState(false);
  if (gone) return null;
  return html`<section class="banner" role="alert"><p><strong>This failed:</strong> <code>${job.command}</code></p>
    <pre tabindex="0">${job.said || "It printed nothing."}</pre><button class="small" onClick=${() => dismiss(true)}>Dismiss</button></section>`;
}

render(html`<${App} />`, document.getElementById("app"));
