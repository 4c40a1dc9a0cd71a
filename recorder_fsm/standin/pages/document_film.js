// The film `document`: a document that is being written beside figures that move.

import { BLUE, GREEN, HEIGHT, LINE, SOFT, WIDTH, card, disc, fill, path, round, trace, write } from "./drawing.js";

const KEYS_PER_S = 13;
const REST_S = 4;
const PARAGRAPHS = [
  "The recorder now keeps what it has captured, whatever happens to it.",
  "A meeting is written to disk every second. If the browser stops, the",
  "part up to that moment is finished, checked and posted in the thread.",
  "",
  "Next: try it with a long call, two shared screens and a slow network.",
  "Owner: 山田 花子 · Review: Łukasz · due Friday",
];
const SCRIPT = PARAGRAPHS.join("\n");

export class DocumentFilm {
  framesPerSecond = 15;
  #paper;

  constructor(newCanvas) {
    this.#paper = drawPaper(newCanvas);
  }

  draw(pen, time_s) {
    pen.drawImage(this.#paper, 0, 0, WIDTH, HEIGHT);
    drawText(pen, time_s);
    drawLineChart(pen, time_s);
    drawBars(pen, time_s);
    drawPointer(pen, time_s);
  }
}

// All that never changes, drawn once.
function drawPaper(newCanvas) {
  const { canvas, pen } = newCanvas();
  fill(pen, "#f4f6f9", 0, 0, WIDTH, HEIGHT);
  drawToolbar(pen);
  card(pen, 60, 124, 1040, 900);
  write(pen, "Recording calls: what changed", 124, 216, { size: 46, weight: 700 });
  write(pen, "Platform team · weekly review", 124, 262, { size: 24, color: SOFT });
  fill(pen, LINE, 124, 294, 912, 2);
  drawChecklist(pen);
  card(pen, 1140, 124, 720, 470);
  write(pen, "Calls recorded today", 1184, 184, { size: 28, weight: 600 });
  card(pen, 1140, 634, 720, 390);
  write(pen, "Load by region", 1184, 694, { size: 28, weight: 600 });
  return canvas;
}

function drawToolbar(pen) {
  fill(pen, "#ffffff", 0, 0, WIDTH, 76);
  fill(pen, LINE, 0, 76, WIDTH, 2);
  round(pen, BLUE, 36, 18, 40, 40, 10);
  fill(pen, "#ffffff", 46, 30, 20, 4);
  fill(pen, "#ffffff", 46, 38, 20, 4);
  fill(pen, "#ffffff", 46, 46, 12, 4);
  write(pen, "Weekly review", 96, 48, { size: 28, weight: 600 });
  write(pen, "Saved", 316, 47, { size: 22, color: SOFT });
  [["A", "#8b5cf6"], ["山", "#e8730c"], ["Ł", GREEN]].forEach(([letter, color], i) => {
    const x = 1600 + i * 46;
    disc(pen, "#ffffff", x, 38, 24);
    disc(pen, color, x, 38, 21);
    write(pen, letter, x, 46, { size: 22, weight: 600, color: "#fff", align: "center" });
  });
  round(pen, BLUE, 1752, 16, 112, 44, 8);
  write(pen, "Share", 1808, 46, { size: 22, weight: 600, color: "#fff", align: "center" });
}

function drawChecklist(pen) {
  const items = ["One process per recording", "Nothing captured is lost", "Posted within a minute"];
  write(pen, "Goals", 124, 352, { size: 30, weight: 600 });
  items.forEach((item, i) => {
    const y = 408 + i * 54;
    round(pen, i < 2 ? GREEN : "#ffffff", 126, y - 24, 28, 28, 6);
    pen.lineWidth = 3;
    if (i < 2) {
      path(pen, "#ffffff", [[132, y - 10], [138, y - 4], [148, y - 17]]);
    } else {
      pen.strokeStyle = "#9ca3af";
      pen.beginPath();
      pen.roundRect(127, y - 23, 26, 26, 6);
      pen.stroke();
    }
    write(pen, item, 174, y, { size: 26 });
  });
  write(pen, "Notes", 124, 606, { size: 30, weight: 600 });
}

function drawText(pen, time_s) {
  const loop_s = SCRIPT.length / KEYS_PER_S + REST_S;
  const typed = [...SCRIPT].slice(0, Math.floor((time_s % loop_s) * KEYS_PER_S)).join("");
  const lines = typed.split("\n");
  lines.forEach((line, i) => write(pen, line, 124, 662 + i * 50, { size: 27 }));
  const x = 124 + pen.measureText(lines.at(-1)).width + 3;
  const y = 662 + (lines.length - 1) * 50;
  if (typed.length < SCRIPT.length || time_s % 1 < 0.5) {
    fill(pen, "#e8730c", x, y - 27, 3, 36);
    round(pen, "#e8730c", x, y - 52, 62, 26, 4);
    write(pen, "Hanako", x + 31, y - 33, { size: 15, weight: 600, color: "#fff", align: "center" });
  }
}

function drawLineChart(pen, time_s) {
  const [left, top, width, height] = [1184, 232, 632, 310];
  for (let i = 0; i <= 3; i += 1) {
    fill(pen, LINE, left, top + (i * height) / 3, width, 1.5);
  }
  const value = (t) => 0.52 + 0.2 * Math.sin(t * 0.9) + 0.13 * Math.sin(t * 2.3 + 1) + 0.06 * Math.sin(t * 5.1);
  const points = Array.from({ length: 80 }, (_, i) => {
    const t = time_s - (79 - i) * 0.11;
    return [left + (i * width) / 79, top + height * (1 - value(t))];
  });
  const below = pen.createLinearGradient(0, top, 0, top + height);
  below.addColorStop(0, "rgba(28, 88, 217, 0.28)");
  below.addColorStop(1, "rgba(28, 88, 217, 0)");
  pen.fillStyle = below;
  trace(pen, [...points, [left + width, top + height], [left, top + height]]);
  pen.fill();
  pen.lineWidth = 5;
  pen.lineJoin = "round";
  path(pen, BLUE, points);
  const [x, y] = points.at(-1);
  disc(pen, "#ffffff", x, y, 11);
  disc(pen, BLUE, x, y, 8);
  const total = String(1204 + Math.floor(time_s / 1.5));
  write(pen, total, 1816, 188, { size: 40, weight: 700, align: "right" });
}

function drawBars(pen, time_s) {
  ["Frankfurt", "Warszawa", "東京", "São Paulo"].forEach((name, i) => {
    const y = 744 + i * 68;
    const share = 0.5 + 0.3 * Math.sin(time_s * (0.35 + 0.11 * i) + i * 1.7) + 0.08 * Math.sin(time_s * 1.3 + i);
    write(pen, name, 1184, y + 22, { size: 23 });
    round(pen, "#eef1f6", 1330, y, 400, 28, 14);
    round(pen, i % 2 ? GREEN : BLUE, 1330, y, Math.max(28, 400 * share), 28, 14);
    write(pen, `${Math.round(100 * share)} %`, 1816, y + 22, { size: 23, color: SOFT, align: "right" });
  });
}

function drawPointer(pen, time_s) {
  const x = 1180 + 520 * Math.sin(time_s * 0.41) + 90 * Math.sin(time_s * 1.1);
  const y = 560 + 300 * Math.sin(time_s * 0.29 + 1) + 60 * Math.cos(time_s * 0.9);
  pen.save();
  pen.translate(x, y);
  pen.lineWidth = 3;
  pen.fillStyle = "#111827";
  trace(pen, [[0, 0], [0, 34], [8, 27], [14, 40], [20, 37], [14, 25], [25, 24]]);
  pen.fill();
  pen.strokeStyle = "#ffffff";
  pen.stroke();
  pen.restore();
}
