// The recording page of the stand-in: joins the call by the plugin's protocol and shows it.
//
// Order as in the real page: REST prefetch, `window.callsClient`, view, init. With a token in the fragment it is a
// recorder's page. Without one a person is looking: at the call that `call_id` names, or at a scene with no call behind.

import { Chatter } from "./chatter.js";
import { CallsClient, RoomCallsClient } from "./calls_client.js";
import { obey } from "./commands.js";
import { element, icon } from "./dom.js";
import { Stage } from "./stage.js";

const BOT = "/plugins/com.mattermost.calls/bot";
const PREFETCH_TRIES = 10;
const PREFETCH_STEP_MS = 100;
const FLAGS = ["share", "cameras", "rtc", "v2", "sync"];
const PEOPLE = ["Anna Kowalska", "山田 花子", "José García", "Łukasz Nowak 🎧", "김민준", "Zoë van den Berg"];

async function main() {
  const config = readConfig();
  console.debug("config", JSON.stringify(config));
  console.debug("ice", "a=ice-ufrag:8hhY a=ice-pwd:SECRETVALUE");
  const scene = await fetchScene(config.callId);
  const faults = scene.page_faults ?? {};
  if (faults.script_error && !(faults.script_error === "once" && failedBefore())) {
    throw new TypeError("the stand-in page was asked to fail");
  }
  if (config.token) {
    await prefetch(config);
  }
  if (faults.no_client) {
    console.debug("the stand-in page was asked to show no client");
    return;
  }
  await join(config, scene, faults);
}

// Whether this tab has been here before; a tab remembers that over its loads.
function failedBefore() {
  const before = sessionStorage.getItem("failed");
  sessionStorage.setItem("failed", "yes");
  return before !== null;
}

async function join(config, scene, faults) {
  const root = document.getElementById("root");
  const stage = new Stage(root, { scene, avatar: (participant) => fetchAvatar(config, participant) });
  const Client = scene.v2 ? RoomCallsClient : CallsClient;
  const chatter = new Chatter(config.token ? faults.join_lines : 0);
  const client = new Client({ ...config, faults, chatter }, stage);
  window.callsClient = client;

  const leavePage = () => client.disconnect();
  const closed = (why) => {
    stage.unmount();
    root.replaceChildren();
    client.removeAllListeners();
    window.removeEventListener("beforeunload", leavePage);
    delete window.callsClient;
    if (!config.token) {
      const text = why instanceof Error ? `The call cannot be shown: ${why.message}.` : "The call has ended.";
      root.append(element("p", { class: "over" }, text));
    }
  };
  client.on("connect", () => chatter.connected());
  client.on("close", closed);
  client.on("command", (data) => obey({ client, stage }, data));
  if (scene.v2) {
    client.on("error", (error) => console.error("client error:", error.message));
  }
  window.addEventListener("beforeunload", leavePage);
  offerSound(stage);
  try {
    await client.init();
  } catch (error) {
    console.error("init failed:", error.message);
    stage.stop();
    closed(error); // without a `close` event, as in the real page
  }
}

function readConfig() {
  const query = new URLSearchParams(location.search);
  return { callId: query.get("call_id") ?? "", jobId: query.get("job_id") ?? "", token: readToken() };
}

// The fragment is URL-safe base64 of {"token": "..."}.
function readToken() {
  const fragment = location.hash.slice(1);
  if (!fragment) {
    return "";
  }
  return JSON.parse(atob(fragment.replaceAll("-", "+").replaceAll("_", "/"))).token;
}

async function fetchScene(callId) {
  const query = new URLSearchParams(location.search);
  const reply = await fetch(`/standin/scene?${new URLSearchParams({ call_id: callId })}`).catch(() => null);
  const scene = reply?.ok ? await reply.json() : {};
  const people = scene.participants?.length
    ? scene.participants
    : PEOPLE.map((name, i) => ({ id: `person${i}`, name }));
  for (const flag of FLAGS) {
    scene[flag] = query.has(flag) ? query.get(flag) === "1" : Boolean(scene[flag]);
  }
  scene.film = query.get("film") ?? scene.film;
  return { ...scene, mode: query.get("mode") ?? scene.mode ?? "call", participants: people };
}

async function prefetch({ callId, token }) {
  const url = `${BOT}/channels/${callId}`;
  for (let attempt = 1; ; attempt += 1) {
    const reply = await fetch(url, { headers: bearer(token) }).catch(() => null);
    if (reply?.ok) {
      return;
    }
    if (attempt === PREFETCH_TRIES) {
      throw new Error(`failed to fetch the channel: ${reply ? `status ${reply.status}` : "no answer"}`);
    }
    await new Promise((resolve) => setTimeout(resolve, attempt * PREFETCH_STEP_MS));
  }
}

// A blob URL of the participant's picture, or null: then the initials stay.
async function fetchAvatar({ token }, { id }) {
  if (!token) {
    return null;
  }
  const reply = await fetch(`${BOT}/users/${id}/image`, { headers: bearer(token) }).catch(() => null);
  return reply?.ok ? URL.createObjectURL(await reply.blob()) : null;
}

function bearer(token) {
  return { Authorization: `Bearer ${token}` };
}

// Browsers of people keep quiet until a click.
function offerSound(stage) {
  const hint = element("button", { class: "sound-hint", type: "button" }, icon("sound"), "Click to hear the call");
  const update = () => {
    const waiting = !stage.sound.audible && document.contains(stage.view.root) && !readToken();
    hint.remove();
    if (waiting) {
      stage.view.root.append(hint);
    }
  };
  stage.sound.onChange(update);
  setTimeout(update, 500);
  document.addEventListener("click", () => stage.resume());
}

main();
