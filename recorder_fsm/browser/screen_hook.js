// Shows a shared screen that the page itself does not show. A new-document script, before the page's own.
//
// The page learns by one way that a screen comes, and by another what its track is for. Where the second is late, the page
// takes the track for something unknown and its player stays empty until the end of the call (contract 3.2). A player
// that shows something is never touched; nor does a stream of ours outlive its track.
(() => {
  if (window !== window.top || !window.RTCPeerConnection) return;
  const EMPTY_MS = 1000; // a page that is only busy shows the screen by itself
  const LOOK_MS = 200;

  const tracks = new Set(); // screens that were received, newest last
  let timer = 0;
  let emptySince = null;

  const flows = (track) => track.readyState === "live" && !track.muted;
  const shows = (player) => player.srcObject instanceof MediaStream && player.srcObject.getVideoTracks().some(flows);
  const tell = (kind) => {
    const told = window.__recorderFsmTell?.(JSON.stringify({ kind, detail: null, at: Date.now() }));
    told?.catch?.(() => {});
  };

  const give = (player, track) => {
    const stream = new MediaStream([track]);
    player.srcObject = stream;
    player.play().catch(() => {}); // the page took it away at this moment
    const letGo = () => {
      if (player.srcObject === stream) player.srcObject = null;
    };
    // A share that ends only mutes its track where the server may use it again; one that goes on is shown again.
    for (const end of ["ended", "mute"]) track.addEventListener(end, letGo, { once: true });
    tell("screen_restored");
  };

  const look = () => {
    for (const track of tracks) if (track.readyState === "ended") tracks.delete(track);
    if (tracks.size === 0) {
      clearInterval(timer);
      timer = 0;
    }
    const player = document.getElementById("screen-player");
    const track = [...tracks].filter(flows).at(-1);
    if (!track || !(player instanceof HTMLVideoElement) || shows(player)) {
      emptySince = null;
      return;
    }
    emptySince ??= performance.now();
    if (performance.now() - emptySince < EMPTY_MS) return;
    emptySince = null;
    give(player, track);
  };

  const received = ({ track }) => {
    if (track.kind !== "video" || !track.id.startsWith("screen_")) return;
    tracks.delete(track);
    tracks.add(track);
    if (!timer) timer = setInterval(look, LOOK_MS);
  };

  window.RTCPeerConnection = new Proxy(window.RTCPeerConnection, {
    construct(native, args, target) {
      const peer = Reflect.construct(native, args, target);
      peer.addEventListener("track", received);
      return peer;
    },
  });
})();
