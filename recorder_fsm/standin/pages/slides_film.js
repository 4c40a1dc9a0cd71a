// The film `slides`: a long text that is scrolled, a piece at a time, then slides that change.

import { BLUE, GREEN, HEIGHT, INK, LINE, SOFT, WIDTH, card, disc, fill, path, round, write } from "./drawing.js";

const READING_S = 10;
const SLIDE_S = 2.5;
const SCROLL_S = 1.2;
const REST_S = 0.8;
const LINE_PX = 42;
const SCROLLED_LINES = 11;
const LINES = 96;
const SENTENCES = [
  "The call is over when the last of them has left, and not before.",
  "A clock that somebody may set is no clock for a recording; use one that only goes on.",
  "const offset_ms = Math.round((shown_s - heard_s) * 1000); // late video is positive",
  "Ask first what the reader wants to know: how long, how large, how many, and what it costs.",
  "  - 1080 lines of 1920 points, thirty times a second, and most of them stay as they are",
  "会議の録画は、終わってからすぐに見られます。",
  "Нагрузка измеряется на двух ядрах, по очереди и несколько раз.",
  "Every limit has a name, a unit and a reason. Whoever changes one reads the reason first.",
];
const SLIDES = [
  { title: "What people ask for", points: ["Sound in step with the lips", "Files that can be posted", "A machine that stays cool"], color: BLUE },
  { title: "Where the time goes", bars: [0.82, 0.31, 0.54, 0.12, 0.67], color: GREEN },
  { title: "Three steps", points: ["See what changed", "Convert only that", "Encode when it pays"], color: "#e8730c" },
  { title: "Load over a day", curve: true, color: "#8b5cf6" },
];

export class SlidesFilm {
  framesPerSecond = 30;
  #slides;

  constructor(newCanvas) {
    this.#slides = SLIDES.map((slide) => drawSlide(slide, newCanvas));
  }

  draw(pen, time_s) {
    const at_s = time_s % (READING_S + SLIDE_S * SLIDES.length);
    if (at_s < READING_S) {
      drawReading(pen, at_s);
    } else {
      pen.drawImage(this.#slides[Math.floor((at_s - READING_S) / SLIDE_S)], 0, 0, WIDTH, HEIGHT);
    }
  }
}

// A hand on the wheel: a piece of the text passes, slower at both ends, then somebody reads.
function scrolled_px(at_s) {
  const step_s = SCROLL_S + REST_S;
  const part = Math.max(0, (at_s % step_s) - REST_S) / SCROLL_S;
  const eased = part * part * (3 - 2 * part);
  return Math.round((Math.floor(at_s / step_s) + eased) * SCROLLED_LINES * LINE_PX);
}

function drawReading(pen, at_s) {
  fill(pen, "#f4f6f9", 0, 0, WIDTH, HEIGHT);
  fill(pen, "#ffffff", 210, 0, 1500, HEIGHT);
  const top_px = scrolled_px(at_s);
  const first = Math.max(0, Math.floor(top_px / LINE_PX) - 1);
  for (let i = first; i < Math.min(LINES, first + HEIGHT / LINE_PX + 3); i += 1) {
    const y = 60 + i * LINE_PX - top_px;
    const heading = i % 12 === 0;
    const text = heading ? `${1 + i / 12}. Chapter of the manual` : SENTENCES[(i * 5 + Math.floor(i / 12)) % SENTENCES.length];
    write(pen, text, 280, y, heading ? { size: 34, weight: 700 } : { size: 25, color: i % 5 ? INK : SOFT });
  }
  fill(pen, LINE, 1880, 0, 16, HEIGHT);
  round(pen, "#9ca3af", 1880, (top_px / (LINES * LINE_PX)) * HEIGHT, 16, 240, 8);
}

function drawSlide({ title, points, bars, curve, color }, newCanvas) {
  const { canvas, pen } = newCanvas();
  fill(pen, "#ffffff", 0, 0, WIDTH, HEIGHT);
  fill(pen, color, 0, 0, 28, HEIGHT);
  write(pen, title, 140, 200, { size: 84, weight: 700 });
  fill(pen, color, 140, 236, 240, 8);
  points?.forEach((point, i) => {
    disc(pen, color, 170, 400 + i * 150, 16);
    write(pen, point, 220, 418 + i * 150, { size: 56 });
  });
  bars?.forEach((share, i) => {
    write(pen, `Part ${i + 1}`, 140, 376 + i * 120, { size: 38 });
    round(pen, color, 320, 336 + i * 120, 1300 * share, 56, 12);
    write(pen, `${Math.round(100 * share)} %`, 1360 * share + 340, 378 + i * 120, { size: 36, color: SOFT });
  });
  if (curve) {
    card(pen, 140, 320, 1640, 620);
    pen.lineWidth = 7;
    path(pen, color, Array.from({ length: 160 }, (_, i) => [180 + i * 9.8, 640 - 190 * Math.sin(i / 19) - 60 * Math.sin(i / 5)]));
  }
  write(pen, "Weekly review · Platform team", 140, 1020, { size: 28, color: SOFT });
  return canvas;
}
