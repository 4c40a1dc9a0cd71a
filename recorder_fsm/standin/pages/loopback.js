// Sound and picture through a real peer connection, from the page to itself.
//
// Host candidates only, no servers. The receiver's jitter buffer delays the sound by 60 to 150 ms, as in a real call,
// and nothing else: a light that follows the sound before it was sent is early by that much. Ready when the receiving side is connected and every track has arrived.

const VIDEO_BPS = 4_000_000;
const CANDIDATE_LIMIT_MS = 5_000;
const NO_NETWORK =
  "no network for a peer connection: where there is only the loopback, Chromium wants --allow-loopback-in-peer-connection";

export class Loopback {
  #sender = new RTCPeerConnection();
  #receiver = new RTCPeerConnection();

  // Resolves to the received MediaStreamTracks, in any order.
  async connect(tracks) {
    let candidates = 0;
    this.#sender.onicecandidate = ({ candidate }) => {
      candidates += candidate ? 1 : 0;
      this.#receiver.addIceCandidate(candidate);
    };
    this.#receiver.onicecandidate = ({ candidate }) => this.#sender.addIceCandidate(candidate);
    const received = [];
    const arrived = new Promise((resolve, reject) => {
      const check = () => {
        const state = this.#receiver.connectionState;
        if (state === "failed") {
          reject(new Error("rtc peer error"));
        } else if (state === "connected" && received.length === tracks.length) {
          resolve(received);
        }
      };
      this.#receiver.onconnectionstatechange = check;
      setTimeout(() => candidates || reject(new Error(NO_NETWORK)), CANDIDATE_LIMIT_MS);
      this.#receiver.ontrack = ({ track }) => {
        received.push(track);
        check();
      };
    });
    for (const track of tracks) {
      const sender = this.#sender.addTrack(track);
      if (track.kind === "video") {
        track.contentHint = "detail"; // text: rather fewer pictures than blurred ones
        const parameters = sender.getParameters();
        parameters.encodings = [{ ...parameters.encodings?.[0], maxBitrate: VIDEO_BPS }];
        await sender.setParameters(parameters);
      }
    }
    await this.#sender.setLocalDescription();
    const { type, sdp } = this.#sender.localDescription;
    await this.#receiver.setRemoteDescription({ type, sdp: namedAsByThePlugin(sdp, tracks) });
    await this.#receiver.setLocalDescription();
    await this.#sender.setRemoteDescription(this.#receiver.localDescription);
    return arrived;
  }

  // Send nothing any more; who receives is still there.
  cut() {
    this.#sender.close();
  }

  close() {
    this.#sender.close();
    this.#receiver.close();
  }
}

// The plugin names the track of a shared screen so that its receiver can tell.
function namedAsByThePlugin(sdp, tracks) {
  return tracks
    .filter((track) => track.kind === "video")
    .reduce((text, { id }) => text.replaceAll(id, `screen_${id}`), sdp);
}
