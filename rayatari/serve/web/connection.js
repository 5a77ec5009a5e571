// A session on the server that outlives its connections: it reconnects with backoff and resumes by token.

import { Kind, pack, packHello, unpack } from "./protocol.js";

const WAITS_S = [0.25, 0.5, 1, 2];
const PING_S = 3;
const SEEN_EVERY = 8;
const SILENCE_S = 10;
const STORED = "rayatari.session";

// What the player reads, and what happens next, by close code (docs/protocol.md).
const ENDS = {
  1009: { title: "A message was too long", text: "Reload the page.", remedy: "reload" },
  4000: { title: "The server did not understand this page", text: "Reload the page.", remedy: "reload" },
  4002: { title: "Page and server are of different versions", text: "Reload the page.", remedy: "reload" },
  4003: { title: "An access token is needed", text: "Whoever runs the server has it.", remedy: "token" },
  4004: { title: "This game is not on the server", text: "Choose another game.", remedy: "game" },
  4009: { title: "You play in another window", text: "This game was taken over there.", remedy: "resume" },
  4010: { title: "Are you still there?", text: "The game was put aside after a while of silence.", remedy: "resume" },
};
const GONE = 4005;
const BUSY = new Set([1013, 4006]);

export class Connection {
  /**
   * handlers: welcome(welcome), frame(frame), pong(milliseconds), note(text), and
   * state({phase, ...}) with phase "connecting", "open", "lost" ({title, text, retryAt}) or "ended"
   * ({title, text, remedy}).
   */
  constructor(url, handlers) {
    this.url = url;
    this.handlers = handlers;
    this.hello = {};
    this.session = "";
    this.number = 0;
    this.attempts = 0;
    this.socket = null;
    this.timer = 0;
    this.pinging = true;
    this.pings = new Map();
    setInterval(() => this.#keepAlive(), 1000);
  }

  /** Ends the present session and begins another; `hello` as in the protocol. */
  begin(hello) {
    this.#drop(1000);
    this.hello = hello;
    this.#remember("");
    this.number = 0;
    this.attempts = 0;
    this.#connect();
  }

  /** Goes on with the session of this tab, where there is one; otherwise begins one. */
  beginOrResume(hello) {
    this.hello = hello;
    this.session = sessionStorage.getItem(STORED) ?? "";
    this.#connect();
  }

  /** Connects again at once and resumes; `changes` are new keys of the hello. */
  resume(changes = {}) {
    this.hello = { ...this.hello, ...changes };
    this.attempts = 0;
    this.#drop(4000);
    this.#connect();
  }

  /** Tries now what would be tried later. */
  hurry() {
    if (this.timer) this.resume();
  }

  get open() {
    return Boolean(this.welcomed) && this.socket?.readyState === WebSocket.OPEN;
  }

  /** Sends a message and returns its number; 0 where no connection is open. */
  send(kind, value) {
    if (!this.open) return 0;
    this.number += 1;
    this.socket.send(pack(kind, this.number, value));
    return this.number;
  }

  /** Says that the frame of that sequence number has been taken in. */
  seen(sequence) {
    this.unseen += 1;
    if (this.unseen < SEEN_EVERY) return;
    this.unseen = 0;
    this.send(Kind.SEEN, sequence);
  }

  #connect() {
    clearTimeout(this.timer);
    this.timer = 0;
    this.welcomed = 0;
    this.problem = null;
    if (!this.attempts) this.handlers.state({ phase: "connecting" });
    const socket = new WebSocket(this.url);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    this.heard = performance.now();
    socket.onopen = () => socket.send(packHello({ ...this.hello, resume: this.session }));
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onclose = ({ code }) => this.#closed(code);
  }

  #receive(data) {
    this.heard = performance.now();
    if (typeof data === "string") {
      this.#receiveText(JSON.parse(data));
      return;
    }
    const message = unpack(data);
    if (message.pong !== undefined) {
      const sent = this.pings.get(message.pong);
      this.pings.delete(message.pong);
      if (sent) this.handlers.pong(this.heard - sent);
      return;
    }
    // After a reload of the page the session has counted further than we have.
    this.number = Math.max(this.number, message.echo);
    this.handlers.frame(message);
  }

  #receiveText(message) {
    if (message.type === "welcome") {
      this.welcomed = this.heard;
      this.idleS = message.limits?.idle_s ?? 60;
      this.unseen = 0;
      this.pings.clear();
      this.#remember(message.session);
      this.handlers.welcome(message);
      this.handlers.state({ phase: "open" });
    } else if (message.type === "error" && message.fatal) {
      this.problem = message;
    } else if (message.type === "error") {
      this.handlers.note(`${sentence(message.error)} ${sentence(message.remedy)}`);
    }
  }

  #closed(code) {
    this.#drop();
    if (code === GONE) {
      this.#remember("");
      this.handlers.note("The earlier game is gone from the server. Here is a new one.");
      this.#connect();
      return;
    }
    const end = ENDS[code];
    if (end) {
      const text = this.problem ? `${sentence(this.problem.error)} ${sentence(this.problem.remedy)}` : end.text;
      this.handlers.state({ phase: "ended", code, ...end, text: code === 4009 || code === 4010 ? end.text : text });
      return;
    }
    this.#retry(code);
  }

  #retry(code) {
    const busy = BUSY.has(code);
    const wait = busy ? 4 : code === 4008 ? 2 : WAITS_S[Math.min(this.attempts, WAITS_S.length - 1)];
    this.attempts += 1;
    this.timer = setTimeout(() => this.#connect(), wait * 1000);
    const title = busy ? "All places are taken" : "The server is not answering";
    const kept = this.session ? "Your game is kept and goes on by itself." : "The page goes on trying by itself.";
    const text = busy ? "The page goes on trying by itself." : kept;
    this.handlers.state({ phase: "lost", title, text, attempts: this.attempts, retryAt: performance.now() + wait * 1000 });
  }

  #keepAlive() {
    if (!this.socket) return;
    const now = performance.now();
    if (now - this.heard > SILENCE_S * 1000 && (this.pings.size || !this.welcomed)) {
      this.#closed(1006);
      return;
    }
    if (this.open && now - this.welcomed > 2000) this.attempts = 0; // a connection that lasts
    const every = Math.min(PING_S, (this.idleS ?? 60) / 3) * 1000;
    if (!this.open || !this.pinging || now - (this.pinged ?? 0) < every - 100) return;
    this.pinged = now;
    this.pings.set(this.send(Kind.PING), now);
  }

  /** Lets the socket go without hearing from it again. */
  #drop(code) {
    clearTimeout(this.timer);
    this.timer = 0;
    const socket = this.socket;
    this.socket = null;
    this.welcomed = 0;
    this.pings.clear();
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close(code);
  }

  #remember(session) {
    this.session = session;
    if (session) sessionStorage.setItem(STORED, session);
    else sessionStorage.removeItem(STORED);
  }
}

function sentence(words) {
  const text = String(words ?? "").trim();
  return text ? text[0].toUpperCase() + text.slice(1).replace(/[.!]?$/, ".") : "";
}
