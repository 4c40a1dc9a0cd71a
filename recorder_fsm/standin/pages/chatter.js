// What the page writes to its console while it joins: lines in the number and of the kinds of the real one.
//
// Some eighty within a second: each step of the websocket and of the peer, the session descriptions whole, with their
// `ice-pwd`, every candidate, every track. `lines` makes them more or fewer; 0 is silence.

const USUAL_LINES = 80;
const STEPS = 10;
const TRACKS = 18;
const DESCRIPTION = [
  "v=0", "o=- 4611731400430051336 2 IN IP4 127.0.0.1", "s=-", "t=0 0", "a=group:BUNDLE 0 1 2",
  "m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "c=IN IP4 0.0.0.0", "a=ice-ufrag:8hhY", "a=ice-pwd:SECRETVALUE",
  "a=ice-options:trickle", `a=fingerprint:sha-256 ${"3C:4E:".repeat(15)}3C:4E`, "a=setup:actpass", "a=mid:0", "a=sctp-port:5000",
];

export class Chatter {
  #left;
  #candidates;

  constructor(lines = USUAL_LINES) {
    this.#left = lines;
    this.#candidates = lines - STEPS - TRACKS;
  }

  opened() {
    this.#say("ws open, sending join msg");
  }

  // The answer to the join, and all that the two sides tell each other about their addresses.
  acknowledged() {
    this.#say("join ack received, initializing connection");
    for (const kind of ["offer", "answer"]) {
      const whole = JSON.stringify({ type: kind, sdp: DESCRIPTION.join("\r\n") });
      this.#say(`RTCPeer: generated local ${kind}`, whole);
      this.#say("local signal:", whole);
      this.#say("remote signal", whole);
    }
    for (let i = 0; i < this.#candidates; i += 1) {
      this.#say(`RTCPeer: ice candidate:${i} 1 udp ${2130706431 - i} 192.0.2.${i % 256} ${50000 + i} typ host generation 0`);
    }
  }

  connected() {
    this.#say("RTCPeer: connection state change -> connected");
    for (let i = 0; i < TRACKS; i += 1) {
      this.#say("remote track", "audio", `voice_${i}`);
    }
    this.#say("rtc connected");
  }

  #say(...words) {
    this.#left -= 1;
    if (this.#left >= 0) {
      console.debug("calls:", ...words);
    }
  }
}
