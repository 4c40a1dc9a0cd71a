// Troubles on demand: the server sends `standin_command`, the page obeys.

import { element } from "./dom.js";

const CRASH_DEPTH = 20_000;

const TROUBLES = {
  crash: () => crash(),
  hang: () => hang(),
  rtc_loss: ({ client }) => client.disconnect(new Error("rtc peer close")),
  ws_loss: ({ client }) => client.loseSocket(),
  close_error: ({ client }, { reason }) => client.disconnect(new Error(reason ?? "closed by the stand-in")),
  alert: () => window.alert("The stand-in shows an alert."),
  ask: () => ask(),
  open_window: () => window.open("about:blank", "_blank", "popup"),
  navigate_away: () => location.assign("/"),
  flood_console: (_, { lines, error }) => floodConsole(lines ?? 10_000, error),
  silence: ({ stage }) => stage.sound.mute(),
  everybody_gone: ({ stage }) => stage.everybodyGone(),
  cut_off: ({ stage }) => stage.cutOff(),
  blank: ({ stage }) => stage.view.root.append(element("div", { class: "blank" })),
};

export function obey(page, data) {
  const trouble = TROUBLES[data.command];
  if (!trouble) {
    console.warn("unknown command", data.command);
    return;
  }
  trouble(page, data);
}

function hang() {
  for (;;) {
    // never gives the thread back
  }
}

// All that a browser would ask its person about, or show him, without his having touched the page.
function ask() {
  navigator.geolocation.getCurrentPosition(() => {}, () => {});
  window.alert("The stand-in shows an alert.");
  window.print();
  // In a frame of its own: a page that is to go elsewhere leaves the call before the browser asks about it.
  document.body.append(element("iframe", { src: "mattermost://chat.example.com/team", hidden: true }));
}

// Layout walks the tree by recursion, so a chain this deep overflows the renderer's stack: the process dies within
// some seconds and needs no memory for it.
function crash() {
  let deepest = document.body;
  for (let i = 0; i < CRASH_DEPTH; i += 1) {
    deepest = deepest.appendChild(document.createElement("div"));
  }
  document.body.getBoundingClientRect();
}

function floodConsole(lines, error) {
  for (let i = 0; i < lines; i += 1) {
    console.log(`line ${i} of ${lines}: ${"noise ".repeat(20)}`);
  }
  if (error) {
    console.error(error);
  }
}
