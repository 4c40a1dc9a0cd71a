// The film `video`: a camera that pans over a landscape, people who move before it, and a cut now and then.

import { HEIGHT, WIDTH, disc, trace } from "./drawing.js";

const SHOT_S = 5;
const TEXTURE = { width: 2560, height: 1440, octaves: [6, 18, 54, 160, 480], seed: 11 };
const SHOTS = [
  { hue: 205, zoom: 1.05, pan: [70, 12] },
  { hue: 95, zoom: 1.25, pan: [-110, 25] },
  { hue: 28, zoom: 1.0, pan: [40, -30] },
];

export class VideoFilm {
  framesPerSecond = 30;
  #grounds = SHOTS.map(({ hue }) => drawGround(hue));

  draw(pen, time_s) {
    const number = Math.floor(time_s / SHOT_S) % SHOTS.length;
    const { zoom, pan } = SHOTS[number];
    const at_s = time_s % SHOT_S;
    const width = WIDTH / zoom;
    const height = HEIGHT / zoom;
    const swing = (room, speed, phase) => Math.min(room, Math.max(0, room / 2 + speed * (at_s - SHOT_S / 2) + 6 * Math.sin(at_s * 3 + phase)));
    const left = swing(TEXTURE.width - width, pan[0], 0);
    const top = swing(TEXTURE.height - height, pan[1], 1);
    pen.drawImage(this.#grounds[number], left, top, width, height, 0, 0, WIDTH, HEIGHT);
    for (let i = 0; i < 3; i += 1) {
      drawPerson(pen, i, at_s + number);
    }
  }
}

function drawPerson(pen, i, time_s) {
  const x = 420 + i * 540 + 60 * Math.sin(time_s * (1.1 + 0.3 * i) + i);
  const y = 560 + 30 * Math.sin(time_s * (1.7 + 0.2 * i) + 2 * i);
  const light = pen.createRadialGradient(x - 50, y - 60, 10, x, y, 190);
  light.addColorStop(0, `hsl(${24 + 6 * i} 55% ${76 - 9 * i}%)`);
  light.addColorStop(1, `hsl(${18 + 6 * i} 45% ${38 - 4 * i}%)`);
  pen.fillStyle = `hsl(${120 * i + 10} 35% 34%)`;
  trace(pen, [[x - 230, HEIGHT], [x - 190, y + 260], [x - 60, y + 170], [x + 60, y + 170], [x + 190, y + 260], [x + 230, HEIGHT]]);
  pen.fill();
  pen.fillStyle = light;
  pen.beginPath();
  pen.ellipse(x, y, 140, 185, 0.08 * Math.sin(time_s * 2 + i), 0, 2 * Math.PI);
  pen.fill();
  disc(pen, "#20160f", x - 52, y - 30, 13);
  disc(pen, "#20160f", x + 52, y - 30, 13);
  const open = 8 + 22 * Math.abs(Math.sin(time_s * (5 + i)));
  pen.fillStyle = "#6e2b2b";
  pen.beginPath();
  pen.ellipse(x, y + 85, 48, open, 0, 0, 2 * Math.PI);
  pen.fill();
}

// Sums of smooth noise, from hills to gravel: each octave is a small picture that the canvas enlarges.
function drawGround(hue) {
  const canvas = document.createElement("canvas");
  canvas.width = TEXTURE.width;
  canvas.height = TEXTURE.height;
  const pen = canvas.getContext("2d", { alpha: false });
  const sky = pen.createLinearGradient(0, 0, 0, TEXTURE.height);
  sky.addColorStop(0, `hsl(${hue} 45% 72%)`);
  sky.addColorStop(1, `hsl(${hue + 30} 40% 30%)`);
  pen.fillStyle = sky;
  pen.fillRect(0, 0, TEXTURE.width, TEXTURE.height);
  pen.imageSmoothingQuality = "high";
  pen.globalCompositeOperation = "soft-light";
  TEXTURE.octaves.forEach((columns, i) => {
    pen.globalAlpha = 0.9 / (1 + 0.45 * i);
    pen.drawImage(noise(columns, TEXTURE.seed + i + hue), 0, 0, TEXTURE.width, TEXTURE.height);
  });
  return canvas;
}

// Grey values that look random and are the same in every run.
function noise(columns, seed) {
  const rows = Math.ceil((columns * TEXTURE.height) / TEXTURE.width);
  const canvas = document.createElement("canvas");
  canvas.width = columns;
  canvas.height = rows;
  const pen = canvas.getContext("2d");
  const picture = pen.createImageData(columns, rows);
  let state = (seed * 2654435761 + 1013904223) >>> 0;
  for (let i = 0; i < picture.data.length; i += 4) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    picture.data.fill(state >>> 24, i, i + 3);
    picture.data[i + 3] = 255;
  }
  pen.putImageData(picture, 0, 0);
  return canvas;
}
