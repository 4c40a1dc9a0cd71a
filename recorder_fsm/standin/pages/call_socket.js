// The websocket to the server: log in, keep alive, come back after a loss.
//
// Emits `ready` (first login), `resumed` (a login after a loss that got a new connection), `event` (name, data) and
// `gone` (no connection for GIVE_UP_MS). What an event means for the call is left to the client.
//
// A server that still knows the connection takes the challenge and sends the missed events; one that does not greets
// with a new id.

import { EventEmitter } from "./emitter.js";

const CHALLENGE_SEQ = 1;
const PING_MS = 5_000;
const FIRST_RETRY_MS = 1_000;
const RETRY_STEP_MS = 500;
const GIVE_UP_MS = 30_000;

export class CallSocket extends EventEmitter {
  connectionId = "";
  #token;
  #socket = null;
  #seq = 0;
  #serverSeq = 0;
  #lostAt = null;
  #retries = 0;
  #timers = { ping: 0, retry: 0, giveUp: 0 };
  #closed = false;

  constructor(token) {
    super();
    this.#token = token;
  }

  open() {
    const url = new URL("/api/v4/websocket", location.origin.replace(/^http/, "ws"));
    url.searchParams.set("connection_id", this.connectionId);
    url.searchParams.set("sequence_number", String(this.#serverSeq));
    const socket = new WebSocket(url);
    this.#socket = socket;
    this.#seq = 0;
    socket.onopen = () => this.send("authentication_challenge", { token: this.#token });
    socket.onmessage = (message) => this.#heard(JSON.parse(message.data));
    socket.onclose = () => {
      if (socket === this.#socket) {
        this.#lost();
      }
    };
  }

  send(action, data) {
    if (this.#socket?.readyState === WebSocket.OPEN) {
      this.#seq += 1;
      this.#socket.send(JSON.stringify({ seq: this.#seq, action, ...(data && { data }) }));
    }
  }

  // Lose the connection on purpose, as a network would.
  drop() {
    this.#socket?.close();
  }

  close() {
    this.#closed = true;
    this.#stopTimers();
    this.removeAllListeners();
    this.#socket?.close();
  }

  #heard(message) {
    if (typeof message.seq === "number") {
      this.#serverSeq = message.seq + 1;
    }
    if (message.seq_reply === CHALLENGE_SEQ && message.status === "OK") {
      this.#settled();
    } else if (message.event === "hello") {
      this.#welcomed(message.data?.connection_id ?? "");
    } else if (message.event) {
      this.emit("event", message.event, message.data ?? {});
    }
  }

  // The connection holds: count losses anew.
  #settled() {
    this.#stopTimers();
    this.#lostAt = null;
    this.#retries = 0;
    this.#timers.ping = setInterval(() => this.send("ping"), PING_MS);
  }

  #welcomed(connectionId) {
    const previousId = this.connectionId;
    this.connectionId = connectionId;
    if (!previousId) {
      this.emit("ready");
    } else if (previousId !== connectionId) {
      this.emit("resumed", previousId);
    }
  }

  #lost() {
    if (this.#closed) {
      return;
    }
    console.debug("websocket lost, trying again");
    clearInterval(this.#timers.ping);
    if (this.#lostAt === null) {
      this.#lostAt = performance.now();
      this.#timers.giveUp = setTimeout(() => this.emit("gone"), GIVE_UP_MS);
    }
    const wait = FIRST_RETRY_MS + RETRY_STEP_MS * this.#retries;
    this.#retries += 1;
    this.#timers.retry = setTimeout(() => this.open(), wait);
  }

  #stopTimers() {
    clearInterval(this.#timers.ping);
    clearTimeout(this.#timers.retry);
    clearTimeout(this.#timers.giveUp);
  }
}
