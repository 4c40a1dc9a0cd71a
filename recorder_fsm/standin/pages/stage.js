// Sound and picture of the call together: what the client connects and stops, what the page shows and takes away.

import { CallView } from "./call_view.js";
import { element } from "./dom.js";
import { Loopback } from "./loopback.js";
import { PatternView } from "./pattern_view.js";
import { SharedScreen } from "./shared_screen.js";
import { Sound } from "./sound.js";

export class Stage {
  sound;
  view;
  #shared = null;
  #screen = null;
  #loopback = null;
  #lateMap_s;
  #sent = null;
  #player = element("audio", { autoplay: true, hidden: true });

  constructor(parent, { scene, avatar }) {
    this.sound = new Sound(scene);
    if (scene.share) {
      this.#shared = new SharedScreen(window.innerWidth, scene.film);
      this.#screen = scene.rtc ? element("video", { autoplay: true }) : this.#shared.canvas;
      this.#screen.id = "screen-player";
      this.#screen.muted = true;
      this.#shared.start();
    }
    this.#lateMap_s = scene.page_faults?.late_map_s ?? 0;
    this.#loopback = scene.rtc ? new Loopback() : null;
    const parts = { scene, sound: this.sound, screen: this.#screen, avatar };
    this.view = scene.mode === "pattern" ? new PatternView(parent, parts) : new CallView(parent, parts);
  }

  // Resolves when sound and picture flow.
  async connect() {
    this.sound.start();
    if (!this.#loopback) {
      return;
    }
    await this.#receive();
    this.view.root.append(this.#player);
  }

  async #receive() {
    // What each track is for comes by another way than the track. As the real page, this one does not look again.
    let mapped = !this.#lateMap_s;
    setTimeout(() => (mapped = true), this.#lateMap_s * 1000);
    this.#sent ??= [this.sound.track, this.#shared?.captureTrack()].filter(Boolean);
    for (const track of await this.#loopback.connect(this.#sent)) {
      if (track.kind === "video" && !mapped) {
        console.error("unexpected video track type", track.id);
        continue;
      }
      const player = track.kind === "audio" ? this.#player : this.#screen;
      player.srcObject = new MediaStream([track]);
      player.play().catch((error) => console.debug("waiting for a click:", error.name));
    }
  }

  // A person's browser wants a click before it plays.
  resume() {
    this.sound.resume();
    this.#player.play().catch(() => {});
  }

  // All others leave or are cut off: nothing is received any more, and the picture stands still.
  everybodyGone() {
    this.sound.mute();
    this.#loopback?.close();
    this.#loopback = null;
    this.view.rest?.();
  }

  // Nothing arrives from the call: sound and picture stand still until it is back. A pattern that is made in the page
  // and not received goes on.
  lost() {
    this.#loopback?.cut();
    this.#hold(true);
    this.view.pause?.();
  }

  // A page cannot keep its own connection and stop its packets: it makes a new one.
  back() {
    if (this.#loopback) {
      this.#loopback.close();
      this.#loopback = new Loopback();
      this.#receive().catch((error) => console.debug("cut again:", error.message));
    }
    this.#hold(false);
    this.view.resume?.();
  }

  #hold(away) {
    if (this.#loopback || !this.view.pause) {
      return;
    }
    this.sound.cut(away);
    if (away) {
      this.#shared?.stop();
    } else {
      this.#shared?.start();
    }
  }

  // The network to the call is gone, and the page does not know it yet.
  cutOff() {
    this.#loopback?.cut();
    this.view.rest?.();
  }

  stop() {
    this.sound.stop();
    this.#shared?.stop();
    this.#loopback?.close();
    this.#player.srcObject = null;
  }

  unmount() {
    this.view.unmount();
  }
}
