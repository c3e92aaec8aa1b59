"use strict";
// The playground: asks the server what it serves, and shows what it answers.

const at = (name) => document.getElementById(name);
const TYPES = { picture: "image/jpeg", sound: "audio/wav", video: "video/mp4", text: "text/plain", tensor: "application/json" };
const ACCEPTS = { picture: "image/*", sound: "audio/*", video: "video/*", tensor: ".npy,.safetensors,.json" };
let about = null, sent = null, shown = "curl", recorder = null;

const base = location.href.replace(/[?#].*$/, "").replace(/\/$/, "");
const model = () => at("model").value;
const takes = () => about.properties.takes;

async function ask(path, options) {
  const answer = await fetch(`${base}${path}`, options);
  if (!answer.ok) throw new Error((await answer.json()).error);
  return answer;
}

async function start() {
  translate();
  const found = await (await ask("/v2/models")).json();
  const names = found.models.filter((name) => !name.endsWith("-raw") && !/\.[^.]*$/.test(name) || found.models.length === 1);
  for (const name of names.length ? names : found.models) at("model").append(new Option(name, name));
  const wanted = new URLSearchParams(location.search).get("model");
  if (names.includes(wanted)) at("model").value = wanted;
  await choose();
}

async function choose() {
  about = await (await ask(`/v2/models/${encodeURIComponent(model())}`)).json();
  sent = null;
  at("preview").replaceChildren();
  at("answer").replaceChildren(element("p", say("nothing"), "quiet"));
  at("timing").replaceChildren();
  at("document").textContent = "";
  const kind = takes();
  at("text").hidden = kind !== "text";
  at("drop").hidden = kind === "text";
  at("record").hidden = kind !== "sound";
  if (kind !== "text") {
    at("file").accept = ACCEPTS[kind];
    at("drop-words").textContent = say(`drop_${kind}`);
  }
  at("state").textContent = `${about.properties.task} · ${about.properties.variant} · ${say("ready")}`;
  at("facts").replaceChildren(...(about.properties.settable || "").split(",").filter(Boolean).map(fact));
  signature();
  client();
}

function fact(name) {
  const label = element("label", `${name} `);
  const field = element("input");
  field.name = name;
  label.append(field);
  return label;
}

function signature() {
  const head = element("tr");
  head.append(element("th", ""), element("th", say("name")), element("th", say("kind")), element("th", say("shape")));
  const rows = [["input_row", about.inputs], ["output_row", about.outputs]].flatMap(([word, tensors]) =>
    tensors.map((one) => {
      const row = element("tr");
      const shape = one.shape.map((size) => (size < 0 ? "?" : size)).join(" × ");
      row.append(...[say(word), one.name, one.datatype, shape].map((words) => element("td", words)));
      return row;
    }));
  at("signature").replaceChildren(head, ...rows);
}

function client() {
  at("languages").replaceChildren(...LANGUAGES.map((name) => {
    const tab = element("button", name);
    tab.type = "button";
    tab.setAttribute("role", "tab");
    tab.setAttribute("aria-selected", String(name === shown));
    tab.onclick = () => { shown = name; client(); };
    return tab;
  }));
  at("snippet").textContent = snippet(shown, model(), takes(), TYPES[takes()], base);
}

function take(blob) {
  sent = blob;
  const view = { picture: "img", sound: "audio", video: "video" }[takes()];
  if (!view) {
    at("preview").replaceChildren(element("p", blob.name || "", "quiet"));
    return;
  }
  const made = element(view);
  made.src = URL.createObjectURL(blob);
  if (view !== "img") made.controls = true;
  else made.alt = blob.name || say("input");
  at("preview").replaceChildren(made);
}

async function record() {
  if (recorder) {
    recorder.stop();
    return;
  }
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  } catch {
    fail(new Error(say("no_microphone")));
    return;
  }
  const parts = [];
  recorder = new MediaRecorder(stream);
  recorder.ondataavailable = (event) => parts.push(event.data);
  recorder.onstop = async () => {
    stream.getTracks().forEach((track) => track.stop());
    at("record").classList.remove("on");
    at("record").textContent = say("record");
    const type = recorder.mimeType;
    recorder = null;
    take(await wav(new Blob(parts, { type })));
  };
  at("record").classList.add("on");
  at("record").textContent = say("stop");
  recorder.start();
}

// Whatever the browser records, as a WAV of 16 bits: not every server reads every browser's own format.
async function wav(blob) {
  const sound = await new AudioContext().decodeAudioData(await blob.arrayBuffer());
  const samples = sound.getChannelData(0);
  const view = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const text = (place, words) => [...words].forEach((one, i) => view.setUint8(place + i, one.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + 2 * samples.length, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, sound.sampleRate, true);
  view.setUint32(28, 2 * sound.sampleRate, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  text(36, "data");
  view.setUint32(40, 2 * samples.length, true);
  samples.forEach((value, i) => view.setInt16(44 + 2 * i, Math.max(-1, Math.min(1, value)) * 32767, true));
  return new File([view], "recording.wav", { type: "audio/wav" });
}

async function go(event) {
  event.preventDefault();
  const body = takes() === "text" ? at("text").value : sent;
  if (!body) {
    fail(new Error(say("missing")));
    return;
  }
  const query = new URLSearchParams();
  for (const field of at("facts").querySelectorAll("input")) if (field.value) query.set(field.name, field.value);
  const path = `/v2/models/${encodeURIComponent(model())}/predict?${query}`;
  const type = takes() === "text" ? "text/plain" : body.type || TYPES[takes()];
  at("go").disabled = true;
  try {
    const began = performance.now();
    const reply = await ask(path, { method: "POST", headers: { "Content-Type": type }, body });
    const answer = await reply.json();
    timing(performance.now() - began, reply.headers.get("Server-Timing") || "");
    at("document").textContent = JSON.stringify(answer, null, 1);
    const parts = await drawn(answer, body);
    if (answer.sample_rate) parts.unshift(await heard(path, type, body));
    at("answer").replaceChildren(...parts);
  } catch (error) {
    fail(error);
  } finally {
    at("go").disabled = false;
  }
}

async function heard(path, type, body) {
  const reply = await ask(path, { method: "POST", headers: { "Content-Type": type, Accept: "audio/wav" }, body });
  const player = element("audio");
  player.controls = true;
  player.src = URL.createObjectURL(await reply.blob());
  return player;
}

function fail(error) {
  const said = element("p", error.message, "failed");
  said.setAttribute("role", "alert");
  at("answer").replaceChildren(said);
}

function timing(total, header) {
  const server = Object.fromEntries([...header.matchAll(/(\w+);dur=([\d.]+)/g)].map(([, name, ms]) => [name, Number(ms)]));
  const inside = (server.queue || 0) + (server.prepare || 0) + (server.model || 0);
  const parts = [["send", Math.max(0, total - inside)], ["queue", server.queue || 0], ["prepare", server.prepare || 0], ["model_time", server.model || 0]];
  at("timing").replaceChildren(...parts.filter(([, ms]) => ms > 0.005).map(([word, ms]) => {
    const part = element("span", `${say(word)} ${ms.toFixed(1)} ms`);
    part.style.flexGrow = String(Math.max(ms, total / 8));
    part.title = part.textContent;
    return part;
  }));
}

at("model").onchange = () => choose().catch(fail);
at("form").onsubmit = go;
at("record").onclick = record;
at("file").onchange = () => at("file").files[0] && take(at("file").files[0]);
at("language").onclick = () => {
  language = language === "zh" ? "en" : "zh";
  localStorage.setItem("language", language);
  translate();
  choose().catch(fail);
};
at("copy").onclick = async () => {
  await navigator.clipboard.writeText(at("snippet").textContent);
  at("copy").textContent = say("copied");
  setTimeout(() => { at("copy").textContent = say("copy"); }, 1200);
};
at("drop").onkeydown = (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); at("file").click(); } };
for (const [name, over] of [["dragenter", true], ["dragover", true], ["dragleave", false], ["drop", false]]) {
  at("drop").addEventListener(name, (event) => {
    event.preventDefault();
    at("drop").classList.toggle("over", over);
    if (name === "drop" && event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
  });
}
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey && event.key === "Enter") at("form").requestSubmit();
});
start().catch(fail);
