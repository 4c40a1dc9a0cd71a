// People talking in turns, as far as an oscillator pair and two formants can.
//
// One voice made of a handful of nodes takes the pitch of whoever has the turn; everything it says is gain, pitch and
// formant automation. Turns and syllables come from a fixed sequence, so two runs sound the same.

const AHEAD_S = 6;
const REFILL_MS = 500;
const LEVEL = 0.22; // about -20 dBFS RMS while somebody talks, peaks below -6
const TICK_HZ = 3000; // kept free for the tick of `sync`
const VOWELS = [[730, 1090], [530, 1750], [400, 1900], [570, 880], [440, 1020], [640, 1200]];
const PITCHES_HZ = [112, 196, 138, 220, 98, 175, 125, 205];
const START_S = 0.3;

export class Voices {
  #context;
  #people;
  #oscillators;
  #formants;
  #envelope;
  #master;
  #turns = [];
  #spoken_s = 0;
  #random = sequence(7);
  #timer = 0;

  constructor(context, output, people) {
    this.#context = context;
    this.#people = people;
    this.#oscillators = [
      new OscillatorNode(context, { type: "sawtooth" }),
      new OscillatorNode(context, { type: "triangle", detune: 9 }),
    ];
    this.#formants = [700, 1100].map(
      (frequency, i) => new BiquadFilterNode(context, { type: "bandpass", frequency, Q: [4, 7][i] }),
    );
    const body = new BiquadFilterNode(context, { type: "lowpass", frequency: 320, gain: 0 });
    const clearing = new BiquadFilterNode(context, { type: "notch", frequency: TICK_HZ, Q: 2 });
    this.#envelope = new GainNode(context, { gain: 0 });
    this.#master = new GainNode(context, { gain: LEVEL });
    for (const oscillator of this.#oscillators) {
      for (const filter of [...this.#formants, body]) {
        oscillator.connect(filter);
      }
      oscillator.start();
    }
    for (const filter of [...this.#formants, body]) {
      filter.connect(clearing);
    }
    clearing.connect(this.#envelope).connect(this.#master).connect(output);
  }

  start() {
    this.schedule(this.#context.currentTime + AHEAD_S);
    this.#timer = setInterval(() => this.schedule(this.#context.currentTime + AHEAD_S), REFILL_MS);
  }

  stop() {
    clearInterval(this.#timer);
  }

  // Nobody is heard any more, though the turns go on.
  mute() {
    this.#master.gain.value = 0;
  }

  // Index of who talks at `time_s`, or null in the pauses.
  speakerAt(time_s) {
    if (this.#people === 0) {
      return null;
    }
    const turn = this.#turnsUntil(time_s).findLast((known) => known.from_s <= time_s);
    return turn && time_s < turn.to_s ? turn.speaker : null;
  }

  schedule(until_s) {
    if (this.#people === 0) {
      return;
    }
    const now_s = this.#context.currentTime;
    for (const turn of this.#turnsUntil(until_s)) {
      // A turn that has begun is taken up: a page that was busy when the call began would be silent for its length.
      if (turn.from_s >= this.#spoken_s && turn.to_s > now_s && turn.from_s < until_s) {
        this.#speak(turn);
        this.#spoken_s = turn.to_s;
      }
    }
  }

  #turnsUntil(until_s) {
    let last = this.#turns.at(-1) ?? { to_s: START_S - 0.5, speaker: -1 };
    while (last.to_s <= until_s) {
      const step = this.#random() < 0.7 ? 1 : 2;
      const from_s = last.to_s + 0.35 + 0.3 * this.#random();
      const to_s = from_s + 3.2 + 2.6 * this.#random();
      last = { speaker: (last.speaker + step) % this.#people, from_s, to_s };
      this.#turns.push(last);
    }
    if (this.#turns.length > 40) {
      this.#turns.splice(0, 20);
    }
    return this.#turns;
  }

  #speak({ speaker, from_s, to_s }) {
    const base_hz = PITCHES_HZ[speaker % PITCHES_HZ.length];
    const random = sequence(speaker * 1000 + Math.round(from_s * 10));
    let at_s = from_s;
    let syllables = 0;
    let phrase_s = from_s;
    while (at_s < to_s - 0.3) {
      const length_s = 0.13 + 0.13 * random();
      const fall = 1.08 - Math.min(0.18, 0.07 * (at_s - phrase_s));
      this.#syllable(at_s, length_s, base_hz * fall * (0.96 + 0.08 * random()), random);
      at_s += length_s;
      syllables += 1;
      if (syllables % 3 === 0) {
        at_s += 0.03 + 0.07 * random();
      }
      if (syllables % 11 === 0) {
        at_s += 0.22;
        phrase_s = at_s;
      }
    }
    this.#envelope.gain.setTargetAtTime(0, at_s, 0.03);
  }

  #syllable(at_s, length_s, pitch_hz, random) {
    const vowel = VOWELS[Math.floor(random() * VOWELS.length)];
    const loud = 0.65 + 0.35 * random();
    for (const oscillator of this.#oscillators) {
      oscillator.frequency.setTargetAtTime(pitch_hz, at_s, 0.025);
    }
    this.#formants.forEach((formant, i) => formant.frequency.setTargetAtTime(vowel[i], at_s, 0.02));
    this.#envelope.gain.setTargetAtTime(loud, at_s, 0.015);
    this.#envelope.gain.setTargetAtTime(loud * 0.18, at_s + length_s * 0.62, 0.03);
  }
}

// Numbers in [0, 1) that look random and are the same in every run.
function sequence(seed) {
  let state = (seed * 2654435761 + 1013904223) >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}
