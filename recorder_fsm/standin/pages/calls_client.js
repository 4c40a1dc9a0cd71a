// The object that the page shows as `window.callsClient`.
//
// Owns the way into the call and out of it: microphone, websocket, join, peer, leave. The picture and the sound belong
// to the page, which hands in `media` with `connect()` (resolves when the peer is up), `lost()`, `back()` and `stop()`.
//
// Two generations share that way. `CallsClient` (v1) has plain flags and closes at once. `RoomCallsClient` (v2) has
// read-only flags, and closes a little after it was asked to.

import { CallSocket } from "./call_socket.js";
import { EventEmitter } from "./emitter.js";
import { PeerLink } from "./peer_link.js";

const PLUGIN = "custom_com.mattermost.calls_";
const RTC_LIMIT_MS = 15_000;
const LEAVE_MS = 300;

// Numbers that the v2 client gives as the cause of a close.
const CLOSE_REASON = { joinFailure: 7, signalClose: 9 };

class Membership extends EventEmitter {
  #config;
  #media;
  #socket = null;
  #peer = null;
  #microphone = null;
  #rtcTimer = 0;
  #joined = false;
  #originalConnectionId = "";

  constructor(config, media) {
    super();
    this.#config = config;
    this.#media = media;
  }

  async init() {
    const { callId, faults, token } = this.#config;
    if (faults.reject_init) {
      throw new Error("insecure context");
    }
    if (!callId) { // somebody looks at the page itself: no call behind it
      await this.#media.connect();
      this._opened();
      return;
    }
    if (token) { // a person only listens
      await this.#openMicrophone();
    }
    this.#socket = new CallSocket(token)
      .on("ready", () => this.#join())
      .on("resumed", (previousId) => this.#rejoin(previousId))
      .on("event", (name, data) => this.#heard(name, data))
      .on("gone", () => this.disconnect(new Error("max disconnected time reached")));
    this.#socket.open();
  }

  loseSocket() {
    this.#socket?.drop();
  }

  async #openMicrophone() {
    if (!window.isSecureContext) {
      throw new Error("insecure context");
    }
    try {
      this.#microphone = await navigator.mediaDevices.getUserMedia({ audio: true });
    } catch (error) {
      console.error("failed to get the microphone:", error.name);
      this.emit("error", error);
    }
  }

  #join() {
    const { callId, jobId, chatter } = this.#config;
    chatter.opened();
    this.#originalConnectionId = this.#socket.connectionId;
    this.#socket.send(`${PLUGIN}join`, { channelID: callId, jobID: jobId });
  }

  #rejoin(prevConnID) {
    const { callId: channelID } = this.#config;
    this.#socket.send(`${PLUGIN}reconnect`, {
      channelID,
      originalConnID: this.#originalConnectionId,
      prevConnID,
    });
  }

  #heard(name, data) {
    switch (name) {
      case `${PLUGIN}join`:
        this.#accepted(data);
        break;
      case `${PLUGIN}error`:
        this.#refused(data);
        break;
      case `${PLUGIN}job_stop`:
        if (data.job_id === this.#config.jobId) {
          this.disconnect();
        }
        break;
      case `${PLUGIN}call_end`:
      case `${PLUGIN}call_ended`:
        this.disconnect();
        break;
      case "standin_command":
        this.emit("command", data);
        break;
      default:
        break;
    }
  }

  #refused(data) {
    const mine = !data.connID || data.connID === this.#socket.connectionId;
    if (mine) {
      const error = new Error(data.data || "join refused");
      error.reason = CLOSE_REASON.joinFailure;
      this.disconnect(error);
    }
  }

  async #accepted(data) {
    const mine = !data.connID || data.connID === this.#socket.connectionId;
    if (this.#joined || !mine) {
      return;
    }
    this.#joined = true;
    const { chatter, faults } = this.#config;
    chatter.acknowledged();
    if (faults.never_connect) {
      return;
    }
    const limit = faults.rtc_timeout ? faults.slow_ms || RTC_LIMIT_MS : RTC_LIMIT_MS;
    this.#rtcTimer = setTimeout(
      () => this.disconnect(new Error("timed out waiting for rtc connection")),
      limit,
    );
    if (faults.rtc_timeout) {
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, faults.slow_ms || 0));
    try {
      await this.#media.connect();
    } catch (error) {
      this.disconnect(error);
      return;
    }
    if (this.#config.token) { // a person's page needs no way to the plugin
      await this.#peerUp();
    }
    if (!this.closed) {
      clearTimeout(this.#rtcTimer);
      this._opened();
    }
  }

  #peerUp() {
    return new Promise((resolve) => {
      this.#peer = new PeerLink(this.#originalConnectionId)
        .on("up", resolve)
        .on("lost", () => this.#media.lost())
        .on("back", () => this.#media.back())
        .on("closed", () => this.disconnect(new Error("rtc peer close")));
      this.#peer.open();
    });
  }

  // Leave the call: from here on nothing of it is heard or sent.
  _left() {
    clearTimeout(this.#rtcTimer);
    this.#microphone?.getTracks().forEach((track) => track.stop());
    this.#peer?.close();
    this.#media.stop();
    this.#socket?.send(`${PLUGIN}leave`);
    this.#socket?.close();
  }
}

export class CallsClient extends Membership {
  connected = false;
  closed = false;

  _opened() {
    this.emit("connect"); // before the flag: pollers see it later than listeners
    this.connected = true;
  }

  disconnect(error) {
    if (this.closed) {
      return;
    }
    this.closed = true;
    if (error) {
      console.error("disconnected:", error.message);
    }
    this._left();
    this.emit("close", error);
  }
}

export class RoomCallsClient extends Membership {
  #connected = false;
  #closed = false;
  #leaving = null;

  get connected() {
    return this.#connected;
  }

  get closed() {
    return this.#closed;
  }

  _opened() {
    if (this.#leaving) {
      return;
    }
    this.emit("connect");
    this.#connected = true;
  }

  disconnect(error) {
    this.#leaving ??= this.#leave(error);
    return this.#leaving;
  }

  async #leave(error) {
    if (error) {
      console.error("disconnected:", error.message);
    }
    this._left();
    await new Promise((resolve) => setTimeout(resolve, LEAVE_MS));
    this.#closed = true;
    this.#connected = false;
    if (error) {
      this.emit("close", error.reason ?? CLOSE_REASON.signalClose);
    } else {
      this.emit("close");
    }
  }
}
