// The picture and the tone of the doctor's capture, in places and times that `analysis.pattern` reads: 20 blocks that
// count frames, a flash on every whole second of the audio clock, and a beep with it. Beside it something moves, as in a
// shared video: a capture of a still picture would say little of what a job costs.

(() => {
  const BLOCK = 32, BITS = 16, LIT_S = 0.1, BEEP_HZ = 1000, PEAK = 0.25, AHEAD_S = 20;
  document.documentElement.style.cssText = "background:#1e1e1e;overflow:hidden;cursor:none";
  const canvas = (left, top, width, height) => {
    const made = Object.assign(document.createElement("canvas"), { width, height });
    made.style.cssText = `position:fixed;left:${left}px;top:${top}px`;
    document.body.append(made);
    return made.getContext("2d", { alpha: false });
  };
  const blocks = canvas(64, 64, 20 * BLOCK, 64 + 128);
  const [width, height] = [innerWidth >> 1, innerHeight >> 1];
  const film = canvas(innerWidth - width, innerHeight - height, width, height);

  const audio = new AudioContext();
  const gain = new GainNode(audio, { gain: 0 });
  const tone = new OscillatorNode(audio, { frequency: BEEP_HZ });
  tone.connect(gain).connect(audio.destination);
  tone.start();
  const first_s = Math.ceil(audio.currentTime + 0.3);
  for (let at_s = first_s; at_s < first_s + AHEAD_S; at_s += 1) {
    gain.gain.setValueAtTime(PEAK, at_s).setValueAtTime(0, at_s + LIT_S);
  }
  audio.resume();

  // What is heard when the frame of this moment is shown, about one frame later: one reading jitters, so the middle of
  // the last ones is taken.
  const offsets = [];
  const heard_s = (now_ms) => {
    const { contextTime, performanceTime } = audio.getOutputTimestamp();
    offsets.push(contextTime * 1000 - performanceTime);
    if (offsets.length > 61) offsets.shift();
    const middle = [...offsets].sort((a, b) => a - b)[offsets.length >> 1];
    return (now_ms + 1000 / 60 + middle) / 1000;
  };
  const block = (white, x, y, size) => {
    blocks.fillStyle = white ? "#fff" : "#000";
    blocks.fillRect(x, y, size, size);
  };
  let count = 0;
  const draw = (now_ms) => {
    count = (count + 1) % 2 ** BITS;
    const gray = count ^ (count >> 1);
    const bits = Array.from({ length: BITS }, (_, i) => (gray >> (BITS - 1 - i)) & 1);
    const parity = bits.reduce((sum, bit) => sum ^ bit, 0);
    [1, 0, ...bits, parity, 1 - parity].forEach((white, i) => block(white, i * BLOCK, 0, BLOCK));
    const at_s = heard_s(now_ms);
    block(audio.state === "running" && at_s >= first_s && at_s % 1 < LIT_S, 0, 64, 128);
    for (let i = 0; i < 12; i += 1) {
      film.fillStyle = `hsl(${(i * 30 + count) % 360} 60% 40%)`;
      film.fillRect((i * width) / 12, 0, width / 12 + 1, height);
    }
    film.fillStyle = "#eee";
    film.fillRect((count * 7) % width, height / 3, 80, height / 3);
    requestAnimationFrame(draw);
  };
  requestAnimationFrame(draw);
  return audio.state;
})()
