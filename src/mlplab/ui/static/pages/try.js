// Pictures of one's own, judged by one run or by two.
import { html, useEffect, useRef, useState } from "../vendor/htm/standalone.module.js";
import { png, send } from "../api.js";
import { Bars, Problem, RunChoice, Select, Wait, useAnswer, useLatest } from "../parts.js";

const SIDE = 280;

export function Try({ name }) {
  const [answer] = useAnswer("runs");
  const [other, compare] = useState("");
  const [picture, take] = useState(null);
  const runs = (answer?.runs || []).filter((run) => run.status === "finished" || run.metrics.validation);
  useLatest(name, runs, "try");
  if (!answer) return html`<h1>Try it</h1><${Wait} />`;
  if (!runs.length) return html`<h1>Try it</h1><p>There is no trained network yet: <a href="#/start">train one</a>.</p>`;
  const own = runs.find((run) => run.name === name);
  return html`<div class="row between"><h1>Try it</h1><div class="row"><${RunChoice} value=${name} runs=${runs} page="try" />
      ${own && html`<label class="field choice">Compare with <${Select} value=${other} set=${compare} options=${[["", "none"], ...runs.filter((run) => run !== own).map((run) => [run.name, run.name])]} /></label>`}</div></div>
    ${!own ? html`<p>Choose a run to classify your pictures.</p>` : html`<div class="split"><${Given} key=${own.name} take=${take} dark=${own.image_shape[2] === 1} />
      <aside class="pair">${picture ? html`<${Judged} name=${own.name} picture=${picture} />${other && html`<${Judged} name=${other} picture=${picture} />`}` : html`<section class="card"><p class="muted">Draw something, drop a picture, or use the camera. The answer appears here.</p></section>`}</aside></div>`}`;
}

function Given({ take, dark }) {
  const canvas = useRef();
  const pen = useRef(null);
  const [over, enter] = useState(false);
  const drawn = useRef(false);
  const clear = () => { drawn.current = false; const draw = canvas.current.getContext("2d"); draw.fillStyle = dark ? "#000" : "#fff"; draw.fillRect(0, 0, SIDE, SIDE); };
  useEffect(clear, []);
  const at = (event) => { const box = canvas.current.getBoundingClientRect(); return [(event.clientX - box.left) * SIDE / box.width, (event.clientY - box.top) * SIDE / box.height]; };
  const move = (event) => {
    if (!pen.current) return;
    drawn.current = true;
    const draw = canvas.current.getContext("2d"), here = at(event);
    Object.assign(draw, { lineWidth: 26, lineCap: "round", lineJoin: "round", strokeStyle: dark ? "#fff" : "#000" });
    draw.beginPath(); draw.moveTo(...pen.current); draw.lineTo(...here); draw.stroke();
    pen.current = here;
  };
  const judge = () => drawn.current && (dark ? centred(canvas.current) : canvas.current).toBlob((blob) => take({ blob, at: Date.now() }), "image/png");
  const dropped = (event) => { event.preventDefault(); enter(false); const file = event.dataTransfer.files[0]; if (file) take({ blob: file, at: Date.now() }); };
  return html`<div class="grid"><section class="card"><h2>Draw</h2>
      <canvas class="draw" ref=${canvas} width=${SIDE} height=${SIDE} role="img" aria-label="Drawing area, for a mouse, a pen or a finger; with a keyboard alone, choose a picture instead"
        onPointerDown=${(event) => { event.preventDefault(); canvas.current.setPointerCapture(event.pointerId); pen.current = at(event); move(event); }} onPointerMove=${move} onPointerUp=${() => { pen.current = null; judge(); }}></canvas>
      <p class="row"><button class="small" onClick=${() => { clear(); take(null); }}>Clear</button></p>${dark && html`<p class="muted">The drawing is scaled and centred, as the digits of MNIST are.</p>`}</section>
    <section class="card"><h2>A picture</h2><div class=${over ? "drop over" : "drop"} onDragOver=${(event) => { event.preventDefault(); enter(true); }} onDragLeave=${() => enter(false)} onDrop=${dropped}>Drop a picture of any size here.
      <p><label class="button small">Choose a picture<input class="hidden" type="file" accept="image/*" onChange=${(event) => event.target.files[0] && take({ blob: event.target.files[0], at: Date.now() })} /></label></p></div>
      <${Camera} take=${take} /></section></div>`;
}

// A drawing as MNIST has its digits: 20 of 28 pixels large, its centre of mass in the middle.
function centred(canvas) {
  const { data } = canvas.getContext("2d").getImageData(0, 0, SIDE, SIDE);
  let left = SIDE, right = 0, top = SIDE, bottom = 0, mass = 0, x = 0, y = 0;
  for (let i = 0; i < SIDE * SIDE; i += 1) {
    const ink = data[4 * i], column = i % SIDE, row = Math.floor(i / SIDE);
    if (!ink) continue;
    left = Math.min(left, column); right = Math.max(right, column); top = Math.min(top, row); bottom = Math.max(bottom, row);
    mass += ink; x += ink * column; y += ink * row;
  }
  const scale = (20 / 28) * SIDE / (1 + Math.max(right - left, bottom - top));
  const copy = document.createElement("canvas"), draw = copy.getContext("2d");
  copy.width = copy.height = SIDE;
  draw.fillRect(0, 0, SIDE, SIDE);
  draw.setTransform(scale, 0, 0, scale, SIDE / 2 - scale * x / mass, SIDE / 2 - scale * y / mass);
  draw.drawImage(canvas, 0, 0);
  return copy;
}

function Camera({ take }) {
  const video = useRef();
  const [stream, open] = useState(null);
  const [problem, fail] = useState(null);
  const left = useRef(false);
  useEffect(() => () => { left.current = true; }, []);
  useEffect(() => { if (stream) video.current.srcObject = stream; return () => stream?.getTracks().forEach((track) => track.stop()); }, [stream]);
  const start = () => (navigator.mediaDevices ? navigator.mediaDevices.getUserMedia({ video: true }).then((found) => (left.current ? found.getTracks().forEach((track) => track.stop()) : open(found)), (error) => fail(`The camera cannot be used: ${error.message}`)) : fail("The browser gives its camera only to this machine, or over https."));
  const shoot = () => {
    const side = Math.min(video.current.videoWidth, video.current.videoHeight), canvas = document.createElement("canvas");
    canvas.width = canvas.height = side;
    canvas.getContext("2d").drawImage(video.current, (video.current.videoWidth - side) / 2, (video.current.videoHeight - side) / 2, side, side, 0, 0, side, side);
    canvas.toBlob((blob) => take({ blob, at: Date.now() }), "image/png");
  };
  return html`<h2>Camera</h2><${Problem}>${problem}<//>${stream ? html`<video ref=${video} autoplay muted playsinline aria-label="camera"></video><p class="row"><button class="small" onClick=${shoot}>Take a picture</button><button class="small" onClick=${() => open(null)}>Close</button></p>`
    : html`<button class="small" onClick=${start}>Open the camera</button>`}<p class="muted">Nothing leaves this machine.</p>`;
}

function Judged({ name, picture }) {
  const [found, set] = useState(null);
  const [problem, fail] = useState(null);
  useEffect(() => {
    let here = true;
    fail(null);
    send("POST", `runs/${encodeURIComponent(name)}/predict`, picture.blob).then((answer) => here && set(answer), (error) => { if (here) { set(null); fail(error.message); } });
    return () => { here = false; };
  }, [name, picture.at]);
  return html`<section class="card" aria-live="polite"><h2>${name}</h2><${Problem}>${problem}<//>${!found && !problem && html`<${Wait}>Asking the network …<//>`}
    ${found && html`<p class="big">${found.classes[0]}</p><div class="seen"><figure><img src=${png(found.picture)} alt="what the network was given" /><figcaption>what the network sees</figcaption></figure>
      ${found.saliency && html`<figure><img src=${png(found.saliency)} alt="pixels that the answer depends on, bright where most" /><figcaption>pixels that matter</figcaption></figure>`}</div><${Bars} names=${found.classes} shares=${found.probabilities} />`}</section>`;
}
