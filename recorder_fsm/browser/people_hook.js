// Tells the recorder who is in the call, who talks and who shares a screen, as the plugin tells the page's own websocket
// (contract 3.6). Only listens, and is only there where a timeline is asked for. Where a page gets no such events (the
// second version has some of them from elsewhere), nothing is told.
(() => {
  if (window !== window.top) return;
  const PREFIX = "custom_com.mattermost.calls_";
  const ID = /^[a-z0-9]{26}$/;
  const MOST_SESSIONS = 1000;
  const SPOKEN = {
    user_joined: "joined",
    user_left: "left",
    user_voice_on: "voice_on",
    user_voice_off: "voice_off",
    user_screen_on: "screen_on",
    user_screen_off: "screen_off",
  };
  const callId = new URLSearchParams(location.search).get("call_id");
  const ours = new Set(); // the ids of the recorder's own connections, each of which is a session to the plugin

  const tell = (detail) => {
    const told = window.__recorderFsmTell?.(JSON.stringify({ kind: "people", detail, at: Date.now() }));
    told?.catch?.(() => {});
  };

  const someone = (session, user) => {
    const known = ID.test(session) && ID.test(user) && !ours.has(session);
    return known ? { session, user } : null;
  };

  const tellState = (text) => {
    const call = JSON.parse(text);
    const sessions = (Array.isArray(call.sessions) ? call.sessions : [])
      .slice(0, MOST_SESSIONS)
      .map((one) => someone(one?.session_id, one?.user_id))
      .filter(Boolean);
    tell({ event: "state", sessions, screen: String(call.screen_sharing_session_id ?? "") });
  };

  const hear = ({ data }) => {
    if (typeof data !== "string" || !(data.includes(PREFIX) || data.includes('"hello"'))) return;
    try {
      const { event, data: about, broadcast } = JSON.parse(data);
      if (event === "hello") {
        ours.add(about?.connection_id);
        return;
      }
      if (!String(event).startsWith(PREFIX)) return;
      const channel = about?.channelID || about?.channel_id || broadcast?.channel_id;
      if (channel !== callId) return; // the bot hears of other calls as well
      const name = event.slice(PREFIX.length);
      if (name === "call_state") {
        tellState(about.call);
      } else if (Object.hasOwn(SPOKEN, name)) {
        const who = someone(about.session_id, about.user_id ?? about.userID);
        if (who) tell({ event: SPOKEN[name], ...who });
      }
    } catch {
      // no message of the plugin's, or one of another form
    }
  };

  window.WebSocket = new Proxy(window.WebSocket, {
    construct(native, args, target) {
      const socket = Reflect.construct(native, args, target);
      socket.addEventListener("message", hear);
      return socket;
    },
  });
})();
