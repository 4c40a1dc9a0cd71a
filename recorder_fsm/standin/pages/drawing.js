// Text and shapes on a canvas, as what somebody shares is made of. Places are in pixels of a screen of 1920 x 1080.

export const WIDTH = 1920;
export const HEIGHT = 1080;
export const INK = "#1f2937";
export const SOFT = "#6b7280";
export const LINE = "#e5e7eb";
export const BLUE = "#1c58d9";
export const GREEN = "#2f9e75";
const FONT = '"Noto Sans CJK SC", "Noto Sans", "Open Sans", sans-serif';

export function write(pen, text, x, y, { size, weight = 400, color = INK, align = "left" }) {
  pen.font = `${weight} ${size}px ${FONT}`;
  pen.fillStyle = color;
  pen.textAlign = align;
  pen.fillText(text, x, y);
}

export function fill(pen, color, x, y, width, height) {
  pen.fillStyle = color;
  pen.fillRect(x, y, width, height);
}

export function round(pen, color, x, y, width, height, radius) {
  pen.fillStyle = color;
  pen.beginPath();
  pen.roundRect(x, y, width, height, radius);
  pen.fill();
}

export function card(pen, x, y, width, height) {
  round(pen, LINE, x - 2, y - 2, width + 4, height + 4, 18);
  round(pen, "#ffffff", x, y, width, height, 16);
}

export function disc(pen, color, x, y, radius) {
  pen.fillStyle = color;
  pen.beginPath();
  pen.arc(x, y, radius, 0, 2 * Math.PI);
  pen.fill();
}

export function trace(pen, points) {
  pen.beginPath();
  points.forEach(([x, y], i) => (i ? pen.lineTo(x, y) : pen.moveTo(x, y)));
  pen.closePath();
}

export function path(pen, color, points) {
  pen.strokeStyle = color;
  pen.beginPath();
  points.forEach(([x, y], i) => (i ? pen.lineTo(x, y) : pen.moveTo(x, y)));
  pen.stroke();
}
