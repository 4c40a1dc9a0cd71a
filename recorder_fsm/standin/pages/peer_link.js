// The life of the peer connection to the plugin: a websocket stands for it (peers.py).
//
// Emits `up` once, `lost` and `back` where nothing arrives for a while, and `closed` at its end: at once where the plugin
// closes it, FAILED_MS after a loss where it does not come back, as ICE gives up.

import { EventEmitter } from "./emitter.js";

const CLOSED_BY_PLUGIN = 4000;
const RETRY_MS = 1_000;
const FAILED_MS = 15_000;

export class PeerLink extends EventEmitter {
  #session;
  #socket = null;
  #wasUp = false;
  #timers = { retry: 0, failed: 0 };

  constructor(session) {
    super();
    this.#session = session;
  }

  open() {
    const url = new URL("/standin/peer", location.origin.replace(/^http/, "ws"));
    url.searchParams.set("session", this.#session);
    const socket = new WebSocket(url);
    this.#socket = socket;
    socket.onopen = () => {
      this.#stopTimers();
      this.emit(this.#wasUp ? "back" : "up");
      this.#wasUp = true;
    };
    socket.onclose = ({ code }) => {
      if (socket === this.#socket) {
        this.#ended(code);
      }
    };
  }

  close() {
    this.#stopTimers();
    this.removeAllListeners();
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }

  #ended(code) {
    if (code === CLOSED_BY_PLUGIN) {
      this.emit("closed");
      return;
    }
    if (this.#wasUp && !this.#timers.failed) {
      this.#timers.failed = setTimeout(() => this.emit("closed"), FAILED_MS);
      this.emit("lost");
    }
    this.#timers.retry = setTimeout(() => this.open(), RETRY_MS);
  }

  #stopTimers() {
    clearTimeout(this.#timers.retry);
    clearTimeout(this.#timers.failed);
    this.#timers.failed = 0;
  }
}
