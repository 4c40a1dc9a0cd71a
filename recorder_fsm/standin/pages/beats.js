// A tone on every whole second, and the light that goes with it.
//
// One oscillator that never stops and one gain that is scheduled ahead: a node per beep would starve the audio thread.
// The light follows the sound: a frame is lit when the sound that leaves the loudspeaker at the moment the frame is
// shown belongs to a tone. Both clocks meet in `AudioContext.getOutputTimestamp()`.

const AHEAD_S = 10;
const REFILL_MS = 1_000;
const LIT_S = 0.1;
const OFFSETS = 61; // about a second of frames
const USUAL_FRAME_MS = 1000 / 60;

export class Beats {
  #context;
  #gain;
  #peak;
  #length_s;
  #ramp_s;
  #next_s;
  #first_s;
  #timer = 0;

  // `ramp_s` rounds the edges of a tone that people have to listen to.
  constructor(context, output, { frequency_hz, peak, length_s, ramp_s = 0 }) {
    this.#context = context;
    this.#peak = peak;
    this.#length_s = length_s;
    this.#ramp_s = ramp_s;
    const tone = new OscillatorNode(context, { frequency: frequency_hz });
    this.#gain = new GainNode(context, { gain: 0 });
    tone.connect(this.#gain).connect(output);
    tone.start();
    this.#first_s = Math.ceil(context.currentTime + 0.2);
    this.#next_s = this.#first_s;
  }

  start() {
    this.schedule(this.#context.currentTime + AHEAD_S);
    this.#timer = setInterval(() => this.schedule(this.#context.currentTime + AHEAD_S), REFILL_MS);
  }

  stop() {
    clearInterval(this.#timer);
  }

  schedule(until_s) {
    this.#next_s = Math.max(this.#next_s, Math.ceil(this.#context.currentTime));
    const level = this.#gain.gain;
    for (; this.#next_s < until_s; this.#next_s += 1) {
      const on = this.#next_s;
      const off = on + this.#length_s;
      if (this.#ramp_s) {
        level.setValueAtTime(0, on).linearRampToValueAtTime(this.#peak, on + this.#ramp_s);
        level.setValueAtTime(this.#peak, off - this.#ramp_s).linearRampToValueAtTime(0, off);
      } else {
        level.setValueAtTime(this.#peak, on).setValueAtTime(0, off);
      }
    }
  }

  // Is the light on while the sound of `context_s` is heard?
  litAt(context_s) {
    return context_s >= this.#first_s && context_s % 1 < LIT_S;
  }
}

// Maps the frame that requestAnimationFrame prepares to the sound that is heard when it is shown.
//
// A frame is shown about one frame interval after its timestamp. One reading of the output timestamp is some
// milliseconds off, so the median of the last second's offsets is used: it follows drift, not jitter.
export class HeardClock {
  #context;
  #offsets = [];
  #last_ms = null;
  #frame_ms = USUAL_FRAME_MS;

  constructor(context) {
    this.#context = context;
  }

  // Context seconds heard when the frame with this timestamp is shown; null while nothing is heard.
  heardAt(frameTimestamp_ms) {
    this.#measureInterval(frameTimestamp_ms);
    const { contextTime, performanceTime } = this.#context.getOutputTimestamp();
    if (this.#context.state !== "running" || !contextTime || !performanceTime) {
      return null;
    }
    this.#offsets.push(contextTime * 1000 - performanceTime);
    if (this.#offsets.length > OFFSETS) {
      this.#offsets.shift();
    }
    return (frameTimestamp_ms + this.#frame_ms + median(this.#offsets)) / 1000;
  }

  #measureInterval(timestamp_ms) {
    if (this.#last_ms !== null) {
      const interval = timestamp_ms - this.#last_ms;
      if (interval > 4 && interval < 50) {
        this.#frame_ms += (interval - this.#frame_ms) / 30;
      }
    }
    this.#last_ms = timestamp_ms;
  }
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1];
}
