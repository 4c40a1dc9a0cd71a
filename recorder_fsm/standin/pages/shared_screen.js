// What somebody shares: one of three films.
//
// Owns a canvas and draws the film on it from `start()` to `stop()`, and may be started again. Everything follows the
// time that has passed, so a slow machine shows fewer pictures of the same film.

import { DocumentFilm } from "./document_film.js";
import { HEIGHT, WIDTH } from "./drawing.js";
import { SlidesFilm } from "./slides_film.js";
import { VideoFilm } from "./video_film.js";

const FILMS = { document: DocumentFilm, slides: SlidesFilm, video: VideoFilm };

export class SharedScreen {
  #width;
  #canvas;
  #pen;
  #film;
  #started_ms = 0;
  #timer = 0;

  constructor(width, film = "document") {
    this.#width = Math.min(width, WIDTH);
    ({ canvas: this.#canvas, pen: this.#pen } = this.#newCanvas());
    this.#film = new (FILMS[film] ?? DocumentFilm)(() => this.#newCanvas());
  }

  get canvas() {
    return this.#canvas;
  }

  captureTrack() {
    return this.#canvas.captureStream(this.#film.framesPerSecond).getVideoTracks()[0];
  }

  start() {
    this.#started_ms ||= performance.now();
    this.#draw();
    this.#timer = setInterval(() => this.#draw(), 1000 / this.#film.framesPerSecond);
  }

  stop() {
    clearInterval(this.#timer);
  }

  #draw() {
    this.#film.draw(this.#pen, (performance.now() - this.#started_ms) / 1000);
  }

  // A canvas of the screen's size whose pen counts in pixels of 1920 x 1080.
  #newCanvas() {
    const canvas = document.createElement("canvas");
    canvas.width = this.#width;
    canvas.height = Math.round((canvas.width * HEIGHT) / WIDTH);
    const pen = canvas.getContext("2d", { alpha: false });
    pen.scale(canvas.width / WIDTH, canvas.height / HEIGHT);
    return { canvas, pen };
  }
}
