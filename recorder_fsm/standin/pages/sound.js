// Everything that is heard: voices or beeps, and where they go.
//
// Owns the one AudioContext of the page. Runs from `start()` to `stop()`; a browser that wants a click first gets it
// from the page, through `resume()`.

import { Beats, HeardClock } from "./beats.js";
import { Voices } from "./voices.js";

// Shared with measure.py: the tones of the pattern and of `sync`.
const PATTERN_BEEP = { frequency_hz: 1000, peak: 0.25, length_s: 0.1 };
const SYNC_TICK = { frequency_hz: 3000, peak: 0.03, length_s: 0.06, ramp_s: 0.002 };

export class Sound {
  beats = null;
  #context = new AudioContext();
  #outlet;
  #line;
  #voices = null;
  #heard;

  constructor(scene) {
    this.#outlet = scene.rtc
      ? new MediaStreamAudioDestinationNode(this.#context)
      : this.#context.destination;
    this.#line = new GainNode(this.#context);
    this.#line.connect(this.#outlet);
    this.#heard = new HeardClock(this.#context);
    if (scene.mode === "pattern") {
      this.beats = new Beats(this.#context, this.#line, PATTERN_BEEP);
    } else {
      this.#voices = new Voices(this.#context, this.#line, scene.participants.length);
      this.beats = scene.sync ? new Beats(this.#context, this.#line, SYNC_TICK) : null;
    }
  }

  // The sound as a track for a peer connection; null when it goes straight to the loudspeaker.
  get track() {
    return this.#outlet.stream?.getAudioTracks()[0] ?? null;
  }

  get audible() {
    return this.#context.state === "running";
  }

  start() {
    this.#voices?.start();
    this.beats?.start();
    this.resume();
  }

  resume() {
    return this.#context.resume();
  }

  onChange(listener) {
    this.#context.addEventListener("statechange", listener);
  }

  // Nothing is heard any more; who talks and when stays as it was.
  mute() {
    this.#voices?.mute();
  }

  // Nothing of it arrives for a while.
  cut(away) {
    this.#line.gain.value = away ? 0 : 1;
  }

  stop() {
    this.#voices?.stop();
    this.beats?.stop();
    if (this.#context.state !== "closed") {
      this.#context.close();
    }
  }

  // Index of the participant who is talking now, or null.
  speaker() {
    const now_s = this.audible ? this.#context.currentTime : performance.now() / 1000;
    return this.#voices?.speakerAt(now_s) ?? null;
  }

  // Is the light that goes with the tone on in the frame with this timestamp?
  litIn(frameTimestamp_ms) {
    const heard_s = this.#heard.heardAt(frameTimestamp_ms);
    return heard_s !== null && this.beats !== null && this.beats.litAt(heard_s);
  }
}
