// What the people's cameras show, where a scene has `cameras`: heads that move, one canvas for each tile.
//
// Owns the canvases and draws them FRAMES_PER_S times a second from `start()` to `stop()`.

import { hueOf } from "./dom.js";

const FRAMES_PER_S = 30;
const SIZE = 208;

export class Cameras {
  #cameras = [];
  #timer = 0;

  // A canvas that shows this person.
  add({ id }) {
    const canvas = document.createElement("canvas");
    canvas.width = SIZE;
    canvas.height = SIZE;
    this.#cameras.push({ pen: canvas.getContext("2d", { alpha: false }), hue: hueOf(id), phase: this.#cameras.length });
    return canvas;
  }

  start() {
    this.#timer ||= this.#cameras.length && setInterval(() => this.#cameras.forEach(draw), 1000 / FRAMES_PER_S);
  }

  stop() {
    clearInterval(this.#timer);
    this.#timer = 0;
  }
}

function draw({ pen, hue, phase }) {
  const time_s = performance.now() / 1000 + 7 * phase;
  pen.fillStyle = `hsl(${hue} 25% ${30 + 3 * Math.sin(time_s * 0.7)}%)`;
  pen.fillRect(0, 0, SIZE, SIZE);
  const x = SIZE / 2 + 12 * Math.sin(time_s * 1.3);
  const y = SIZE * 0.48 + 5 * Math.sin(time_s * 2.1);
  ellipse(pen, `hsl(${hue} 40% 45%)`, x, SIZE * 1.08, 84, 70);
  ellipse(pen, "hsl(26 45% 66%)", x, y, 46, 60);
  ellipse(pen, "#20160f", x - 17, y - 10, 5, 5);
  ellipse(pen, "#20160f", x + 17, y - 10, 5, 5);
  ellipse(pen, "#6e2b2b", x, y + 28, 15, 2 + 8 * Math.abs(Math.sin(time_s * 5)));
}

function ellipse(pen, color, x, y, width, height) {
  pen.fillStyle = color;
  pen.beginPath();
  pen.ellipse(x, y, width, height, 0, 0, 2 * Math.PI);
  pen.fill();
}
