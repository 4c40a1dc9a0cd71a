// Brings the page's audio back after the sound server was restarted. A new-document script, before the page's own.
//
// Chromium tells the end of the server about a second late, by an `error` event at every AudioContext, and at one of
// the elements that share a peer connection's output: the one that made it. All the others are silent from then on and
// say nothing. The output is made anew when no element uses the old one any more, hence all at once.
(() => {
  if (window !== window.top) return;
  const LATE_MS = 10_000; // so long after `restore` an error still belongs to the old server
  const AGAIN_MS = 300;

  const kept = { elements: new Set(), contexts: new Set() }; // of WeakRefs
  const known = new WeakSet();
  const failed = new Set(); // strong: nobody else may hold an element that has stopped
  const held = new WeakSet(); // what the page itself has paused or suspended
  const parted = new Map(); // stream -> its audio tracks, taken out while there is no audio
  let restoredUntil = 0;
  let timer = 0;

  const media = HTMLMediaElement.prototype;
  const { play, pause } = media;
  const { get: streamOf, set: setStream } = Object.getOwnPropertyDescriptor(media, "srcObject");
  const { resume, suspend } = AudioContext.prototype;

  const living = (refs) => {
    const found = [];
    for (const ref of refs) {
      const one = ref.deref();
      if (one) found.push(one);
      else refs.delete(ref);
    }
    return found;
  };
  const remember = (refs, one) => {
    if (known.has(one)) return;
    known.add(one);
    refs.add(new WeakRef(one));
    one.addEventListener("error", () => stopped(one));
  };
  const stream = (element) => {
    const value = streamOf.call(element);
    return value instanceof MediaStream ? value : null;
  };
  const audible = (element) => {
    const value = stream(element);
    return Boolean(value && (parted.has(value) || value.getAudioTracks().some((track) => track.readyState === "live")));
  };
  const showsVideo = (element) => element.localName === "video" && stream(element)?.getVideoTracks().length > 0;
  const takeAudio = (value) => {
    const tracks = value.getAudioTracks();
    if (tracks.length) parted.set(value, [...(parted.get(value) ?? []), ...tracks]);
    for (const track of tracks) value.removeTrack(track);
  };
  const goOn = async (element) => {
    failed.delete(element);
    if (!held.has(element)) await play.call(element);
  };

  const stopped = (one) => {
    if (one instanceof HTMLMediaElement) {
      if (!audible(one)) return;
      if (showsVideo(one)) { // stopped with its audio: let the video go on without
        takeAudio(stream(one));
        setStream.call(one, stream(one));
        goOn(one).catch(() => {});
      } else {
        failed.add(one);
      }
    } else {
      failed.add(one);
    }
    if (performance.now() < restoredUntil) again();
  };
  const again = () => {
    clearTimeout(timer);
    timer = setTimeout(() => connect().catch(() => {}), AGAIN_MS);
  };

  const connect = async () => {
    for (const one of failed) {
      if (one instanceof HTMLMediaElement && !audible(one)) failed.delete(one); // its speaker has left
    }
    const elements = living(kept.elements).filter(audible);
    const streams = new Map(elements.map((element) => [element, stream(element)]));
    const audioOnly = elements.filter((element) => !showsVideo(element));
    const playing = audioOnly.filter((element) => !element.paused || failed.has(element));
    for (const element of elements) {
      if (showsVideo(element)) takeAudio(streams.get(element));
    }
    for (const element of audioOnly) setStream.call(element, null);
    await new Promise((done) => setTimeout(done, 0)); // the old players let go of the output
    for (const [value, tracks] of parted) {
      for (const track of tracks) if (track.readyState === "live") value.addTrack(track);
    }
    parted.clear();
    const started = [];
    for (const element of audioOnly) {
      if (streamOf.call(element) === null) setStream.call(element, streams.get(element)); // the page may have set its own
      if (playing.includes(element)) started.push(goOn(element));
    }
    for (const context of living(kept.contexts)) {
      failed.delete(context);
      const silent = context.state === "suspended" && !held.has(context) && typeof context.sinkId !== "object";
      // One that was resumed while there was no server waits for ever; `suspend` ends that wait.
      if (silent) started.push(suspend.call(context).then(() => resume.call(context)));
    }
    await Promise.allSettled(started);
    return { elements: elements.length, started: started.length };
  };

  // Called by the recorder when the new server is ready. What Chromium tells too late is followed by the page itself.
  const restore = () => {
    restoredUntil = performance.now() + LATE_MS;
    clearTimeout(timer);
    return Promise.race([connect(), new Promise((done) => setTimeout(() => done({ elements: -1, started: -1 }), 3000))]);
  };

  media.play = function (...args) {
    remember(kept.elements, this);
    held.delete(this);
    return play.apply(this, args);
  };
  media.pause = function (...args) {
    held.add(this);
    return pause.apply(this, args);
  };
  Object.defineProperty(media, "srcObject", {
    ...Object.getOwnPropertyDescriptor(media, "srcObject"),
    set(value) {
      remember(kept.elements, this);
      setStream.call(this, value);
    },
  });
  AudioContext.prototype.suspend = function (...args) {
    held.add(this);
    return suspend.apply(this, args);
  };
  AudioContext.prototype.resume = function (...args) {
    held.delete(this);
    return resume.apply(this, args);
  };
  window.AudioContext = new Proxy(AudioContext, {
    construct(native, args, target) {
      const context = Reflect.construct(native, args, target);
      remember(kept.contexts, context);
      return context;
    },
  });
  Object.defineProperty(window, "__recorderFsmAudio", { value: Object.freeze({ restore }) });
})();
