// The channel as people see it: start a call, watch it being recorded, play what was posted.
//
// Asks the server for the thread once a second and changes only what is different, so that a video goes on playing.
// All text from the server is set as text.

import { element, icon } from "./dom.js";

const POLL_MS = 1_000;
const THREAD_LIMIT_MS = 5_000;
const QUALITY = { // the plugin's presets
  low: { width: 1280, height: 720, video_rate: 1000, frame_rate: 15, video_preset: "ultrafast" },
  medium: { width: 1280, height: 720, video_rate: 1500, frame_rate: 20, video_preset: "veryfast" },
  high: { width: 1920, height: 1080, video_rate: 2500, frame_rate: 20, video_preset: "veryfast" },
};
const STATES = {
  starting: { title: "Joining the call", text: "The recorder starts its browser and joins. This takes some seconds." },
  recording: { title: "Recording", text: "Picture and sound of the call are being written to disk." },
  publishing: { title: "Publishing", text: "The recording is checked, uploaded and posted here." },
  failed: { title: "The recording failed", text: "" },
  discarded: { title: "Nothing was recorded", text: "The call ended before the recording began." },
};

const at = (id) => document.getElementById(id);
const posts = new Map();
const cards = new Map();

function showThread({ posts: posted, live, ended }) {
  keep(posts, at("posts"), posted, (post) => post.id, makePost);
  keep(cards, at("cards"), [...ended, ...live], (one) => one.recording_id, makeCard);
  at("empty").hidden = posted.length + live.length + ended.length > 0;
  const words = [];
  if (posted.length) {
    words.push(posted.length === 1 ? "1 recording" : `${posted.length} recordings`);
  }
  if (live.length) {
    words.push(live.length === 1 ? "1 call is being recorded" : `${live.length} calls are being recorded`);
  }
  at("summary").textContent = words.join(" · ") || "No recordings yet";
}

// Make what is new, update what is there, remove what is gone.
function keep(known, parent, items, keyOf, make) {
  const keys = new Set(items.map(keyOf));
  for (const [key, { node }] of known) {
    if (!keys.has(key)) {
      node.remove();
      known.delete(key);
    }
  }
  for (const item of items) {
    const key = keyOf(item);
    if (!known.has(key)) {
      const made = make(item);
      known.set(key, made);
      parent.append(made.node);
      made.node.scrollIntoView({ block: "end", behavior: "smooth" });
    }
    known.get(key).update(item);
  }
}

function makePost(post) {
  const facts = element("p", { class: "facts" });
  const note = element("p", { class: "note", hidden: true });
  const video = element("video", { controls: true, preload: "metadata", playsinline: true, src: post.url });
  const name = post.file?.name ?? "recording.mp4";
  const node = element(
    "li",
    { class: "post" },
    face(),
    element(
      "div",
      { class: "body" },
      author(post.create_at),
      element("p", {}, `Here is the recording of the call in ${post.call_name || "this channel"}.`),
      note,
      post.url ? video : "",
      element("div", { class: "under" }, facts, element("a", { href: post.url ?? "#", download: name }, "Download")),
    ),
  );
  const update = ({ poster_url: poster, duration_text: length, file, error }) => {
    if (poster && video.getAttribute("poster") !== poster) {
      video.setAttribute("poster", poster);
    }
    facts.textContent = [length, file && sizeText(file.size), file?.name].filter(Boolean).join(" · ");
    note.hidden = !error;
    note.textContent = error ? `The recording ended early: ${error}` : "";
  };
  return { node, update };
}

function makeCard({ recording_id: id, call_id: callId }) {
  const title = element("h3");
  const text = element("p", { class: "card-text" });
  const clock = element("span", { class: "card-clock" });
  const progress = element("progress", { hidden: true });
  const log = element("pre");
  const details = element("details", {}, element("summary", {}, "What the recorder says"), log);
  const stop = element("button", { type: "button", class: "stop" }, "Stop");
  const watch = element("a", {
    class: "watch",
    href: `/standin/pages/recording.html?${new URLSearchParams({ call_id: callId })}`,
    target: "_blank",
  }, icon("screen"), "Watch the call");
  const node = element(
    "article",
    { class: "card" },
    element("header", {}, element("span", { class: "dot" }), title, clock),
    text,
    progress,
    element("footer", {}, stop, watch, details),
  );
  stop.addEventListener("click", async () => {
    stop.disabled = true;
    await ask(`/standin/recordings/${id}/stop`, {}, "The recording could not be stopped");
    stop.disabled = false;
  });
  const update = (one) => {
    const { title: words, text: sentence } = STATES[one.state] ?? { title: one.state, text: "" };
    const running = one.state === "starting" || one.state === "recording";
    node.dataset.state = one.state;
    title.textContent = words;
    text.textContent = one.error || sentence || exitText(one.exit_code);
    clock.textContent = one.recorded_s ? clockText(one.recorded_s) : "";
    progress.hidden = one.state !== "recording" || !one.seconds;
    progress.max = one.seconds ?? 1;
    progress.value = Math.min(one.recorded_s ?? 0, progress.max);
    stop.hidden = watch.hidden = !running;
    log.textContent = (one.tail ?? []).join("\n") || "Nothing yet.";
  };
  return { node, update };
}

function face() {
  return element("div", { class: "face" }, icon("microphone"));
}

function author(createdAt_ms) {
  const when = new Date(createdAt_ms);
  const time = element(
    "time",
    { datetime: when.toISOString(), title: when.toLocaleString() },
    when.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }),
  );
  return element("p", { class: "author" }, element("b", {}, "Calls"), element("span", { class: "bot" }, "BOT"), time);
}

function exitText(code) {
  if (code === null || code === undefined) {
    return "";
  }
  return code < 0 ? `The recorder was ended by signal ${-code}.` : `The recorder ended with code ${code}.`;
}

function clockText(seconds) {
  const whole = Math.floor(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

function sizeText(bytes) {
  return bytes < 1e6 ? `${Math.max(1, Math.round(bytes / 1e3))} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

// POST as JSON; says in plain words what went wrong, and whether it went well.
async function ask(url, body, failure) {
  try {
    const reply = await fetch(url, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    if (!reply.ok) {
      throw new Error((await reply.text()).slice(0, 300) || `status ${reply.status}`);
    }
    showTrouble("");
    await poll();
    return true;
  } catch (error) {
    const cause = error instanceof TypeError ? "the server does not answer" : error.message;
    showTrouble(`${failure}: ${cause}`, "ask");
    return false;
  }
}

function showTrouble(text, source = "") {
  at("trouble").textContent = text;
  at("trouble").hidden = !text;
  at("trouble").dataset.source = source;
}

async function poll() {
  try {
    const reply = await fetch("/standin/thread", { signal: AbortSignal.timeout(THREAD_LIMIT_MS) });
    if (!reply.ok) {
      throw new Error(`status ${reply.status}`);
    }
    showThread(await reply.json());
    if (at("trouble").dataset.source === "poll") {
      showTrouble("");
    }
  } catch (error) {
    console.debug("thread:", error.message);
    showTrouble("The server does not answer. This page keeps trying.", "poll");
  }
}

async function pollAlways() {
  await poll();
  setTimeout(pollAlways, POLL_MS);
}

at("start").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.currentTarget;
  const { seconds, quality, share } = form.elements;
  const button = form.querySelector("button");
  button.disabled = true;
  const options = {
    mode: "call",
    share: share.checked,
    seconds: seconds.value ? Number(seconds.value) : null,
    ...QUALITY[quality.value],
  };
  await ask("/standin/recordings", options, "The call could not be started");
  button.disabled = false;
});

pollAlways();
