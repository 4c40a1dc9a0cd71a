"use strict";
// Shows what /events tells, once a second. Whatever comes is text: nothing here makes HTML of it.
const GONE_MS = 6000; // without a word for so long the recorder hangs, or has gone
const PICTURE_EVERY_MS = 5000;
const LOWEST_DBFS = -60;

const byId = (id) => document.getElementById(id);
const say = (id, text) => {
  if (byId(id).textContent !== text) byId(id).textContent = text;
};
const show = (id, shown) => { byId(id).hidden = !shown; };
const mark = (id, kind) => { byId(id).className = `${byId(id).classList.contains("value") ? "value " : ""}${kind}`; };
const make = (name, text, kind) => {
  const element = document.createElement(name);
  element.textContent = text;
  if (kind) element.className = kind;
  return element;
};

function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (number) => String(number).padStart(2, "0");
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor(whole / 60) % 60;
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

function lasting(seconds) {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds / 60) % 60)} min`;
}

function size(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let [number, unit] = [bytes, 0];
  while (number >= 999.5 && unit < units.length - 1) [number, unit] = [number / 1000, unit + 1];
  return `${unit && number < 99.5 ? number.toFixed(1) : Math.round(number)} ${units[unit]}`;
}

let facts = null;
let heardAt = performance.now();
let ended = false;
let spoken = "";

function light() {
  const taken = new Set(facts.taken.map(([source, target]) => `${source} ${target}`));
  const passed = new Set(facts.taken.flat());
  for (const arrow of document.querySelectorAll(".arrow")) {
    const lit = taken.has(`${arrow.dataset.from} ${arrow.dataset.to}`);
    if (lit && !arrow.classList.contains("taken")) arrow.parentNode.querySelector(".state").before(arrow); // on top
    arrow.classList.toggle("taken", lit);
  }
  for (const box of document.querySelectorAll(".state")) {
    const state = box.dataset.state;
    box.classList.toggle("passed", passed.has(state) && state !== facts.state);
    box.classList.toggle("now", state === facts.state);
    box.classList.toggle(state, state === facts.state);
  }
  const words = `State diagram. The job is in ${facts.state}, and came by ${facts.taken.map((pair) => pair[0]).join(", ")}`;
  for (const drawing of document.querySelectorAll(".diagram")) drawing.setAttribute("aria-label", words);
}

function showProblem() {
  show("problem", Boolean(facts.problem));
  if (!facts.problem) return;
  say("problem-title", facts.ok ? "What happened" : "What went wrong");
  say("problem-sentence", facts.problem.sentence);
  say("problem-then", facts.problem.then || "");
  say("problem-advice", facts.problem.advice ? `What to do: ${facts.problem.advice}` : "");
  say("problem-detail", facts.problem.detail);
  const more = facts.problem.more || "";
  const link = /^https?:\/\//.test(more);
  say("problem-link", link ? more : "");
  if (link) byId("problem-link").href = more;
  say("problem-command", link ? "" : more);
  show("problem-more", more);
  for (const name of ["then", "advice", "detail"]) show(`problem-${name}`, byId(`problem-${name}`).textContent);
}

function showCapture() {
  const level = facts.level_dbfs;
  const shown = Math.max(LOWEST_DBFS, level ?? LOWEST_DBFS);
  say("level", !facts.captures ? "–" : level === null ? "silent" : `${level.toFixed(0)} dBFS`);
  byId("meter-bar").style.width = `${((shown - LOWEST_DBFS) / -LOWEST_DBFS) * 100}%`;
  byId("meter-bar").className = shown > -6 ? "hot" : "";
  byId("meter").setAttribute("aria-valuenow", String(Math.round(shown)));
  byId("meter").setAttribute("aria-valuetext", byId("level").textContent);
  say("speed", facts.speed ? `${facts.speed.toFixed(2)}×` : "–");
  say("behind", facts.captures ? `${facts.behind_s.toFixed(1)} s` : "–");
  mark("behind", facts.behind_s > 10 ? "bad" : facts.behind_s > 5 ? "warn" : "");
  say("frames", facts.frames ? facts.frames.toLocaleString("en") : "–");
  say("dropped", facts.frames ? facts.dropped.toLocaleString("en") : "–");
  mark("dropped", facts.dropped ? "warn" : "");
  say("heard", facts.frames ? lasting(facts.heard_s) : "–");
  say("written", facts.written_bytes ? size(facts.written_bytes) : "–");
}

function showDelivery() {
  const upload = facts.upload;
  const share = upload && upload.total_bytes ? upload.sent_bytes / upload.total_bytes : 0;
  const text = upload ? `${Math.floor(share * 100)} % of ${size(upload.total_bytes)}` : "not yet";
  say("upload", text);
  byId("upload-bar").value = share;
  byId("upload-bar").setAttribute("aria-valuetext", text);
  const free = facts.disk_free_bytes;
  say("disk", free === null ? "–" : size(free));
  mark("disk", free !== null && free < 4 * facts.disk_reserve_bytes ? "bad" : "");
  const left = free === null || !facts.bytes_per_s ? 0 : Math.max(0, free - facts.disk_reserve_bytes) / facts.bytes_per_s;
  say("room", !facts.captures || !left ? "–" : left < 360000 ? lasting(left) : "over 100 h");
  const restarts = Object.entries(facts.restarts);
  say("restarts", restarts.map(([name, count]) => `${name} ${count}`).join(", ") || "none");
  mark("restarts", restarts.length ? "warn" : "");
  say("gaps", facts.gaps.count ? `${facts.gaps.count} (${facts.gaps.seconds.toFixed(1)} s)` : "none");
  mark("gaps", facts.gaps.count ? "warn" : "");
}

function showPrograms() {
  if (!facts.programs.length) return;
  byId("programs").replaceChildren(...facts.programs.map((program) => {
    const row = document.createElement("tr");
    const cpu = program.cpu === null ? "–" : `${(program.cpu * 100).toFixed(0)} %`;
    row.append(make("td", program.part), make("td", cpu), make("td", size(program.memory_bytes)));
    return row;
  }));
}

function line(event) {
  const row = document.createElement("li");
  row.className = event.kind;
  const time = make("time", new Date(event.at * 1000).toLocaleTimeString([], { hour12: false }));
  time.dateTime = new Date(event.at * 1000).toISOString();
  const what = make("span", "", "what");
  const restarts = event.restarts.length ? `, restarting the ${event.restarts.join(" and the ")}` : "";
  const told = event.told ? `; the ${event.told} was told` : "";
  what.append(make("b", event.event), `${event.from} → ${event.to}${restarts}${told}`);
  row.append(time, what);
  if (event.cause) row.append(make("span", event.cause, "cause"));
  return row;
}

let shownEvents = "";
function showEvents() {
  const now = JSON.stringify([facts.events, facts.notes]);
  if (now === shownEvents) return; // what somebody is reading or has marked stays
  shownEvents = now;
  if (facts.events.length) byId("events").replaceChildren(...[...facts.events].reverse().map(line));
  show("notes-card", facts.notes.length);
  byId("notes").replaceChildren(...facts.notes.map((note) => make("li", note)));
}

function render() {
  document.title = `${facts.state} · ${facts.name || facts.recording_id}`;
  say("name", facts.name || "Recorder");
  say("ids", facts.recording_id);
  say("version", facts.version);
  say("state", facts.state);
  byId("pill").className = `pill ${facts.state}`;
  say("since", lasting(facts.since_s));
  say("length", clock(facts.recording_s));
  say("picture-size", facts.size.join(" × "));
  if (spoken !== facts.state) say("live", `The job is now in the state ${facts.state}.`);
  spoken = facts.state;
  light();
  showProblem();
  showCapture();
  showDelivery();
  showPrograms();
  showEvents();
}

function banner(text, kind) {
  show("connection", text);
  say("connection", text);
  byId("connection").className = `banner ${kind}`;
}

function tell() {
  const silent = performance.now() - heardAt;
  const gone = !ended && silent > GONE_MS;
  document.body.classList.toggle("stale", gone);
  if (ended) {
    const fine = facts && facts.state === "done";
    banner(`The recorder has ended: ${facts ? facts.state : "unknown"}. This is the last it said.`, fine ? "fine" : "bad");
  } else if (gone) {
    banner(`The recorder is gone, or hangs: no word for ${lasting(silent / 1000)}. Asking again by itself.`, "bad");
    byId("pill").className = "pill gone";
  } else {
    banner("", "");
  }
}

function listen() {
  const source = new EventSource("/events");
  source.addEventListener("status", (message) => {
    facts = JSON.parse(message.data);
    heardAt = performance.now();
    ended = false;
    render();
    tell();
  });
  source.addEventListener("end", () => {
    ended = true; // another job may begin at this address, so the page goes on asking
    tell();
  });
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, 2000); // refused: the browser gives up by itself
  });
}

function photograph() {
  if (document.hidden || ended || document.body.classList.contains("stale")) return;
  const image = new Image();
  image.addEventListener("load", () => {
    byId("thumbnail").src = image.src;
    show("thumbnail", true);
    show("no-picture", false);
  });
  image.addEventListener("error", () => {
    show("thumbnail", false);
    show("no-picture", true);
  });
  image.src = `/thumbnail.jpg?${Date.now()}`;
}

listen();
photograph();
setInterval(tell, 1000);
setInterval(photograph, PICTURE_EVERY_MS);
document.addEventListener("visibilitychange", photograph);
