// Tells the recorder when the plugin has told everybody that the recording runs: the page's own websocket gets that too
// (contract 3.5, `call_job_state`). A reply to `started` can be lost; this is a second witness. Only listens.
(() => {
  if (window !== window.top) return;
  const callId = new URLSearchParams(location.search).get("call_id");

  const hear = ({ data }) => {
    if (typeof data !== "string" || !data.includes("call_job_state")) return;
    let state;
    try {
      const message = JSON.parse(data);
      if (message.data?.callID !== callId) return; // the bot hears of other calls as well
      state = message.data.jobState;
    } catch {
      return;
    }
    if (state?.type !== "recording" || !state.start_at || state.end_at) return;
    const told = window.__recorderFsmTell?.(JSON.stringify({ kind: "notice", detail: null, at: Date.now() }));
    told?.catch?.(() => {});
  };

  window.WebSocket = new Proxy(window.WebSocket, {
    construct(native, args, target) {
      const socket = Reflect.construct(native, args, target);
      socket.addEventListener("message", hear);
      return socket;
    },
  });
})();
