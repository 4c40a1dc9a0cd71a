// A picture for machines: corners, a frame counter, a flash. measure.py reads it; the places are agreed there.
//
// Owns #calls-recording-view from construction to `unmount()`. Counter and flash are one canvas, so a frame shows both
// or neither.

import { element } from "./dom.js";

const BLOCK = 32;
const BITS = 16;
const BLOCKS = 2 + BITS + 2;
// People need no more, and a frame that repaints the middle of the page as well is shown some 50 ms later.
const READ_EVERY = 12;
const FLASH = { y: 64, size: 128 }; // within the canvas, which starts at (64, 64) in the page

export class PatternView {
  #root;
  #canvas;
  #pen;
  #sound;
  #clock = element("div", { class: "pattern-clock" });
  #number = element("div", { class: "pattern-number" });
  #count = 0;
  #frame = 0;

  constructor(parent, { sound, screen }) {
    this.#sound = sound;
    this.#canvas = element("canvas", { class: "pattern-blocks", width: BLOCK * BLOCKS, height: FLASH.y + FLASH.size });
    this.#pen = this.#canvas.getContext("2d", { alpha: false });
    const corners = ["top-left", "top-right", "bottom-left", "bottom-right"]
      .map((place) => element("div", { class: `corner ${place}` }));
    this.#root = element(
      "div",
      { id: "calls-recording-view", class: "pattern" },
      element("div", { class: "pattern-reading" }, this.#clock, this.#number, ...(screen ? [screen] : [])),
      this.#canvas,
      ...corners,
    );
    parent.append(this.#root);
    const draw = (timestamp_ms) => {
      this.#draw(timestamp_ms);
      this.#frame = requestAnimationFrame(draw);
    };
    this.#frame = requestAnimationFrame(draw);
  }

  get root() {
    return this.#root;
  }

  unmount() {
    cancelAnimationFrame(this.#frame);
    this.#root.remove();
  }

  #draw(timestamp_ms) {
    this.#count = (this.#count + 1) % 2 ** BITS;
    blocksOf(this.#count).forEach((white, i) => this.#block(white, i * BLOCK, 0, BLOCK));
    this.#block(this.#sound.litIn(timestamp_ms), 0, FLASH.y, FLASH.size);
    if (this.#count % READ_EVERY === 1) {
      this.#clock.textContent = new Date().toISOString().slice(11, 21);
      this.#number.textContent = `frame ${String(this.#count).padStart(5, "0")}`;
    }
  }

  #block(white, x, y, size) {
    this.#pen.fillStyle = white ? "#fff" : "#000";
    this.#pen.fillRect(x, y, size, size);
  }
}

// White, black, the Gray code of `count` from the highest bit down, its even parity, and the parity's inverse.
function blocksOf(count) {
  const gray = count ^ (count >> 1);
  const bits = Array.from({ length: BITS }, (_, i) => (gray >> (BITS - 1 - i)) & 1);
  const parity = bits.reduce((sum, bit) => sum ^ bit, 0);
  return [1, 0, ...bits, parity, 1 - parity];
}
