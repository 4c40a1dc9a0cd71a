// Runs in the call page before any script of its own (a new-document script, which the page's CSP does not hinder).
// Listens to the Calls client's own events and tells the recorder through the binding `__recorderFsmTell`. It adds no
// `error` listener: in version 1 of the page that would turn a fatal microphone failure into a silent one.
(() => {
  if (window !== window.top) return;

  const heard = new WeakSet();
  let everSeen = false;
  let abandoned = false;
  const peers = [];
  const SAMPLE_MS = 1000;
  const IDLE_CHANGES = 2; // a clock, in one sample
  let changes = 0;

  const tell = (kind, detail = null, more = {}) => {
    if (abandoned) return;
    const told = window.__recorderFsmTell?.(JSON.stringify({ kind, detail, at: Date.now(), ...more }));
    told?.catch?.(() => {}); // the recorder may have gone
  };

  // v1 passes an Error, v2 a number, and both nothing when the end was asked for.
  const reasonOf = (value) => {
    if (value === undefined || value === null) return null;
    if (value instanceof Error) return value.message || value.name;
    if (typeof value === "number") return `reason ${value}`;
    return String(value.message ?? value);
  };

  const listen = (client) => {
    if (!client || typeof client.on !== "function" || heard.has(client)) return;
    heard.add(client);
    everSeen = true;
    tell("client");
    client.on("connect", () => {
      tell("connect");
      setInterval(takeSample, SAMPLE_MS);
    });
    client.on("close", (reason) => tell("close", reasonOf(reason), { quiet_s: quietSeconds() }));
    for (const name of ["reconnecting", "reconnected"]) client.on(name, () => tell(name));
  };

  const watchProperty = () => {
    const present = window.callsClient;
    let current = present;
    Object.defineProperty(window, "callsClient", {
      configurable: true, // the page deletes the property when the call is over
      enumerable: true,
      get: () => current,
      set: (value) => {
        current = value;
        listen(value);
      },
    });
    listen(present);
  };
  watchProperty();

  // What the page receives and does, to hold the recording against: every peer connection is remembered when it is made.
  if (window.RTCPeerConnection) {
    window.RTCPeerConnection = new Proxy(window.RTCPeerConnection, {
      construct(native, args, target) {
        const peer = Reflect.construct(native, args, target);
        peers.push(new WeakRef(peer));
        return peer;
      },
    });
  }
  new MutationObserver((list) => (changes += list.length)).observe(document, {
    subtree: true,
    childList: true,
    characterData: true,
    attributes: true,
  });

  const openPeers = () => peers.map((ref) => ref.deref()).filter((one) => one && one.connectionState !== "closed");

  const signs = async () => {
    let energy = 0;
    let packets = 0;
    for (const peer of openPeers()) {
      for (const stat of (await peer.getStats()).values()) {
        if (stat.type !== "inbound-rtp") continue;
        packets += stat.packetsReceived ?? 0;
        if (stat.kind === "audio") energy += stat.totalAudioEnergy ?? 0;
      }
    }
    return { energy, packets, changes };
  };

  // When something came last, sampled while the call lasts: of a connection that turns out to be lost, nobody says since
  // when. Whatever a peer connection receives counts, keep-alives too, and a page in which more moves than its clock.
  let sampled = null;
  let sampling = false;
  const takeSample = async () => {
    if (sampling) return;
    sampling = true;
    try {
      let came = 0;
      let known = false;
      for (const peer of openPeers()) {
        for (const stat of (await peer.getStats()).values()) {
          known ||= stat.type === "candidate-pair";
          if (stat.type === "transport" || stat.type === "inbound-rtp") came += stat.packetsReceived ?? 0;
          if (stat.type === "candidate-pair") came += (stat.responsesReceived ?? 0) + (stat.requestsReceived ?? 0);
        }
      }
      const at = performance.now();
      const moved = !sampled || (known && came !== sampled.came) || changes - sampled.changes > IDLE_CHANGES;
      sampled = { at, came, changes, movedAt: moved ? at : sampled.movedAt, known: known || Boolean(sampled?.known) };
    } finally {
      sampling = false;
    }
  };
  // Null where it is not certain: no connection that could be asked, or a page that hung.
  const quietSeconds = () => {
    const now = performance.now();
    return sampled?.known && now - sampled.at < 3 * SAMPLE_MS ? (now - sampled.movedAt) / 1000 : null;
  };

  // The safety net, asked every few seconds: the two booleans that are the page's contract with its recorder.
  const probe = () => {
    const own = Object.getOwnPropertyDescriptor(window, "callsClient");
    if (!own || !own.get) watchProperty(); // deleted after a failed start; the page may try again
    const client = window.callsClient;
    return {
      seen: everSeen,
      present: Boolean(client),
      connected: Boolean(client?.connected),
      closed: Boolean(client?.closed),
      complete: document.readyState === "complete",
      width: Math.round(window.innerWidth * window.devicePixelRatio), // of the display, where the page is enlarged
      height: Math.round(window.innerHeight * window.devicePixelRatio),
    };
  };

  // Asked before the page is loaded again for want of a client. One that is made from then on is not heard: its `close`
  // when the page goes would be taken for the end of the call. False where there has been one: the page is kept.
  const abandon = () => (abandoned = !everSeen);

  // Both versions: synchronous in v1, a promise in v2.
  const leave = async () => {
    await window.callsClient?.disconnect?.();
    return true;
  };

  Object.defineProperty(window, "__recorderFsm", { value: Object.freeze({ probe, leave, signs, abandon }) });
})();
