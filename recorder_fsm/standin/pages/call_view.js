// The picture of a call: participants or a shared screen, and the footer.
//
// Owns #calls-recording-view from construction to `unmount()`. Like the real view it changes only when something
// happens: somebody starts to talk, a second passes, the shared screen moves.

import { Cameras } from "./cameras.js";
import { element, hueOf, icon, initials } from "./dom.js";

const SPEAKER_POLL_MS = 100;
const FOOTER_PX = 32;
const TILE = { widest: 208, narrowest: 96, tallest: 292, shortest: 164, last: 40, gap: 12 };
const MARGIN = 0.12;

export class CallView {
  #root;
  #tiles = [];
  #scene;
  #sound;
  #talking;
  #clock;
  #light = null;
  #cameras = new Cameras();
  #timers = [];
  #frame = 0;
  #observer;

  // `screen` is the element that shows the shared screen, or null; `avatar(participant)` resolves to a URL or null.
  constructor(parent, { scene, sound, screen, avatar }) {
    this.#scene = scene;
    this.#sound = sound;
    this.#talking = element("div", { class: "talking" });
    this.#clock = element("time", { class: "clock" });
    const stage = screen ? this.#sharedStage(screen) : this.#gridStage(avatar);
    this.#root = element("div", { id: "calls-recording-view" }, stage, this.#footer());
    if (scene.sync) {
      this.#light = element("div", { class: "sync-light" });
      this.#root.append(this.#light);
      this.#followBeats();
    }
    parent.append(this.#root);
    this.#observer = new ResizeObserver(() => this.#fit());
    this.#observer.observe(this.#root);
    this.#fit();
    this.#tick();
    this.resume();
  }

  get root() {
    return this.#root;
  }

  // What is received stands still for a while; the clock goes on.
  pause() {
    this.#timers.forEach(clearInterval);
    this.#timers = [];
    this.#cameras.stop();
  }

  resume() {
    this.#cameras.start();
    this.#timers.push(setInterval(() => this.#showSpeaker(), SPEAKER_POLL_MS));
  }

  // Nobody is there to talk; the clock goes on.
  rest() {
    this.pause();
    this.#talking.replaceChildren();
    this.#tiles.forEach((tile) => tile.remove());
  }

  unmount() {
    cancelAnimationFrame(this.#frame);
    this.#timers.forEach(clearInterval);
    this.#cameras.stop();
    clearTimeout(this.#clock.timer);
    this.#observer.disconnect();
    this.#root.remove();
  }

  #gridStage(avatar) {
    const grid = element("ul", { id: "calls-expanded-view-participants-grid" });
    for (const participant of this.#scene.participants) {
      const tile = this.#tile(participant, avatar);
      this.#tiles.push(tile);
      grid.append(tile);
    }
    return element("main", { class: "stage" }, grid);
  }

  #tile(participant, avatar) {
    const face = element("div", { class: "avatar" }, initials(participant.name));
    face.style.setProperty("--hue", hueOf(participant.id));
    if (this.#scene.cameras) {
      face.replaceChildren(this.#cameras.add(participant));
    } else {
      avatar(participant).then((url) => {
        if (url) {
          face.replaceChildren(element("img", { src: url, alt: "" }));
        }
      });
    }
    const badge = element("div", { class: "badge" }, icon("muted"), icon("microphone"));
    return element(
      "li",
      { class: "tile" },
      element("div", { class: "ring" }, face, badge),
      element("div", { class: "name" }, participant.name),
    );
  }

  #sharedStage(screen) {
    const presenter = this.#scene.participants[0]?.name ?? "Somebody";
    const caption = element("div", { class: "caption" }, icon("screen"), `${presenter} is sharing their screen`);
    return element("main", { class: "stage shared" }, screen, caption);
  }

  #footer() {
    const count = String(this.#scene.participants.length);
    return element(
      "footer",
      {},
      this.#clock,
      this.#talking,
      element("div", { class: "count" }, icon("people"), count),
    );
  }

  #tick() {
    const now = new Date();
    this.#clock.textContent = `${now.toISOString().slice(11, 19)} UTC`;
    this.#clock.timer = setTimeout(() => this.#tick(), 1005 - now.getMilliseconds());
  }

  #showSpeaker() {
    const speaker = this.#sound.speaker();
    if (speaker === this.#talking.speaker) {
      return;
    }
    this.#talking.speaker = speaker;
    this.#tiles.forEach((tile, i) => tile.classList.toggle("speaking", i === speaker));
    const name = this.#scene.participants[speaker]?.name;
    this.#talking.replaceChildren(...(name ? [icon("sound"), element("b", {}, name), "is talking"] : []));
  }

  #followBeats() {
    const draw = (timestamp_ms) => {
      this.#light.classList.toggle("lit", this.#sound.litIn(timestamp_ms));
      this.#frame = requestAnimationFrame(draw);
    };
    this.#frame = requestAnimationFrame(draw);
  }

  // Sizes that the stylesheet cannot work out: the tiles by how many there are, and a larger scale beyond 1080p.
  #fit() {
    const { clientWidth, clientHeight } = this.#root;
    const scale = Math.max(1, Math.min(clientWidth / 1920, clientHeight / 1080));
    const { tile, columns } = fitTiles(
      this.#scene.participants.length,
      clientWidth / scale,
      (clientHeight / scale - FOOTER_PX) * (1 - MARGIN),
    );
    const style = this.#root.style;
    style.setProperty("--scale", scale);
    style.setProperty("--tile-width", tile);
    style.setProperty("--tile-height", heightOf(tile));
    style.setProperty("--columns", columns);
  }
}

// The widest tile with which `count` tiles fit, and the columns that make the rows even. A crowd gets the margins as
// well, and in the end tiles smaller than the real page's, so that nobody is cut off.
function fitTiles(count, width, height) {
  for (let tile = TILE.widest; ; tile -= 4) {
    const margin = tile > TILE.narrowest ? MARGIN : MARGIN / 8;
    const room = width * (1 - 2 * margin);
    const most = Math.max(1, Math.floor((room + TILE.gap) / (tile + TILE.gap)));
    const rows = Math.ceil(count / most);
    if (rows * (heightOf(tile) + TILE.gap) - TILE.gap <= height || tile <= TILE.last) {
      return { tile, columns: Math.ceil(count / rows) || 1 };
    }
  }
}

function heightOf(width) {
  if (width < TILE.narrowest) {
    return (width * TILE.shortest) / TILE.narrowest;
  }
  const grown = (width - TILE.narrowest) / (TILE.widest - TILE.narrowest);
  return TILE.shortest + grown * (TILE.tallest - TILE.shortest);
}
