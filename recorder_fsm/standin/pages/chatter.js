// Lines in the number and of the kind that the real page writes to its console while it joins: some eighty in a second.

const STEPS = ["ws open", "ws hello", "join ack", "call state", "rtc peer init", "rtc offer", "rtc answer", "rtc connected"];
const CANDIDATES = 36;
const TRACKS = 18;

export function chatter() {
  for (const step of STEPS) {
    console.debug("calls:", step, JSON.stringify({ at: Math.round(performance.now()) }));
  }
  for (let i = 0; i < CANDIDATES; i += 1) {
    console.debug(`calls: ice candidate:${i} 1 udp ${2130706431 - i} 192.0.2.${i} ${50000 + i} typ host generation 0`);
  }
  for (let i = 0; i < TRACKS; i += 1) {
    console.debug(`calls: track voice_${i} of session ${i}`, "unmuted", true);
  }
}
