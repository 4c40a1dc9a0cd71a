// Small pieces of document.

export function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) {
      node.setAttribute(name, value === true ? "" : value);
    }
  }
  node.append(...children);
  return node;
}

const PATHS = {
  microphone: "M12 14.5a3.5 3.5 0 0 0 3.5-3.5V6a3.5 3.5 0 1 0-7 0v5a3.5 3.5 0 0 0 3.5 3.5Zm6-3.5a6 6 0 0 1-12 0H4a8 8 0 0 0 7 7.94V22h2v-3.06A8 8 0 0 0 20 11h-2Z",
  muted: "m4.3 2.9-1.4 1.4 5.6 5.6V11a3.5 3.5 0 0 0 4.9 3.2l1.6 1.6A6 6 0 0 1 6 11H4a8 8 0 0 0 7 7.94V22h2v-3.06a7.9 7.9 0 0 0 3.4-1.2l3.3 3.4 1.4-1.4L4.3 2.9ZM15.5 11V6a3.5 3.5 0 0 0-6.8-1.1l6.7 6.7.1-.6Zm4.5 0h-2c0 .9-.2 1.7-.5 2.4l1.5 1.5A7.9 7.9 0 0 0 20 11Z",
  people: "M9 11a4 4 0 1 0 0-8 4 4 0 0 0 0 8Zm0 2c-3.3 0-8 1.6-8 4.7V20h16v-2.3C17 14.6 12.3 13 9 13Zm7.5-2a3.5 3.5 0 0 0 0-7c-.5 0-1 .1-1.4.3a6 6 0 0 1 0 6.4c.4.2.9.3 1.4.3Zm2.1 2.4c.9 1 1.4 2.4 1.4 4.1V20h3v-2.3c0-2.2-2-3.6-4.4-4.3Z",
  screen: "M3 4h18a1 1 0 0 1 1 1v11a1 1 0 0 1-1 1h-7v2h3v2H7v-2h3v-2H3a1 1 0 0 1-1-1V5a1 1 0 0 1 1-1Zm1 2v9h16V6H4Z",
  sound: "M3 9v6h4l5 5V4L7 9H3Zm13.5 3A4.5 4.5 0 0 0 14 8v8a4.5 4.5 0 0 0 2.5-4ZM14 3.2v2.1a7 7 0 0 1 0 13.4v2.1a9 9 0 0 0 0-17.6Z",
};

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", `icon icon-${name}`);
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

// Up to two letters for a person without a picture; whole characters, also outside the basic plane.
export function initials(name) {
  const words = name.split(/[\s._-]+/u).filter((word) => /[\p{L}\p{N}]/u.test(word));
  const wide = /[\u1100-\u11ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]/u.test(name);
  const picked = words.length > 1 && !wide ? [words[0], words.at(-1)] : words.slice(0, 1);
  return picked.map((word) => [...word].find((sign) => /[\p{L}\p{N}]/u.test(sign))).join("").toUpperCase() || "?";
}

// A hue that stays the same for an id.
export function hueOf(id) {
  let sum = 0;
  for (const sign of id) {
    sum = (sum * 31 + sign.codePointAt(0)) % 65_521;
  }
  return (sum * 137) % 360;
}
