// The page: a player between the connection, the picture and the controls.

import { Connection } from "./connection.js";
import { GifEncoder } from "./gif.js";
import { Input } from "./input.js";
import { listen } from "./listen.js";
import { Meters } from "./meters.js";
import { $, note, showButtons, showGames, showKeys, showOverlay, showScore, showStatus } from "./panel.js";
import { Flag, Kind, pixelsOf } from "./protocol.js";
import { Screen } from "./screen.js";
import { SessionLog, download } from "./session.js";

const MOST_GIF_FRAMES = 1800;
const MOST_SEED = 2 ** 31; // seeds drawn here; a typed one may be twice that

class Player {
  constructor() {
    this.link = { phase: "connecting" };
    this.welcome = null;
    this.games = [];
    this.started = false;
    this.paused = false;
    this.over = false;
    this.agent = false;
    this.stand = { score: 0, step: 0, lives: 0, flags: 0 };
    this.asked = 0; // number of the last PAUSE or AGENT: older frames do not know of it
    this.waiting = false; // the first frame of a connection is still to come
    this.lastAction = null;
    this.gif = null;
    this.frames = Promise.resolve();
    this.log = new SessionLog();
    this.meters = new Meters();
    this.screen = new Screen($("screen"), $("glow"), $("stage"));
    this.input = new Input({
      change: () => this.sendAction(),
      press: (button) => this.pressed(button),
      menu: () => this.togglePause(),
      reset: () => this.reset(),
    });
    this.connection = new Connection(playAddress(), {
      welcome: (welcome) => this.welcomed(welcome),
      frame: (frame) => this.received(frame),
      pong: (ms) => (this.meters.network = ms),
      note,
      state: (link) => this.linked(link),
    });
  }

  begin() {
    const query = new URLSearchParams(location.search);
    const number = (name) => (query.has(name) ? Number(query.get(name)) : null);
    this.hello = { mode: "realtime", game: query.get("game"), seed: number("seed"), temperature: number("temperature") };
    this.hello.token = sessionStorage.getItem("rayatari.token") ?? "";
    this.loadGames();
    this.connection.beginOrResume(this.hello);
  }

  async loadGames() {
    const headers = this.hello.token ? { Authorization: `Bearer ${this.hello.token}` } : {};
    try {
      const answer = await fetch("games", { headers });
      if (answer.ok) this.games = (await answer.json()).games;
    } catch {
      return; // the connection tells of it and tries again
    }
    showGames(this.games, this.welcome?.game ?? this.hello.game);
    this.show();
  }

  // What the server says

  linked(link) {
    this.link = link;
    if (link.phase !== "open") {
      this.input.keepTaps = false;
      this.input.forgetTaps();
    }
    this.show();
  }

  welcomed(welcome) {
    const fresh = welcome.session !== this.welcome?.session;
    if (fresh && !welcome.resumed) this.started = false;
    if (fresh) {
      if (this.gif) this.toggleGif();
      this.log.begin(welcome);
      this.seeded(welcome.seed);
      this.over = false;
      this.meters.clear();
    }
    this.welcome = welcome;
    this.waiting = true;
    this.asked = 0;
    this.lastAction = null;
    this.screen.configure(welcome);
    this.input.configure(welcome);
    showKeys((code) => this.input.useful(code), welcome.keymap);
    this.showTemperature(welcome.temperature);
    $("screen").setAttribute("aria-label", `Picture of ${welcome.title}`);
    document.title = `${welcome.title} · rayatari`;
    if (this.games.length) showGames(this.games, welcome.game);
    else this.loadGames();
  }

  /** Frames are unpacked one after the other, in their order. */
  received(frame) {
    const welcome = this.welcome;
    this.frames = this.frames.then(async () => {
      try {
        const pixels = await pixelsOf(frame);
        if (welcome === this.welcome) this.drawn(frame, pixels);
      } catch (error) {
        note(`A picture could not be read: ${error.message}`);
      }
    });
  }

  drawn(frame, pixels) {
    this.screen.draw(pixels);
    this.meters.frame(frame);
    this.connection.seen(frame.sequence);
    this.log.add(frame.message);
    this.record(pixels);
    this.stand = frame;
    if (frame.echo >= this.asked || this.waiting) {
      this.paused = Boolean(frame.flags & Flag.PAUSED);
      this.agent = Boolean(frame.flags & Flag.AGENT);
    }
    const over = Boolean(frame.flags & Flag.TERMINATED);
    if (over && !this.over) this.ended();
    this.over = over;
    this.input.played(frame.echo);
    if (this.waiting) {
      this.waiting = false;
      if (!this.started && !over) this.pause(true);
      this.sendAction();
    }
    this.show();
  }

  ended() {
    this.overAt = performance.now();
    this.input.forgetTaps();
    if (this.agent) setTimeout(() => this.over && this.agent && !document.hidden && this.reset(), 2500);
  }

  // What the player does

  get open() {
    return this.link.phase === "open";
  }

  get playing() {
    return this.open && this.started && !this.paused && !this.over && !this.agent;
  }

  sendAction() {
    this.input.keepTaps = this.playing;
    const action = this.input.action;
    if (!this.open || this.waiting) return;
    let number = this.connection.number;
    if (action !== this.lastAction) {
      number = this.connection.send(Kind.ACTION, action);
      this.lastAction = action;
      if (this.playing) this.meters.input(number);
    }
    this.input.told(number);
  }

  pressed(button) {
    if (!this.open) return;
    if (!this.started) this.start();
    else if (this.over && button === "fire" && performance.now() - this.overAt > 700) this.reset();
    else if (this.agent && !this.over) this.toggleAgent();
  }

  start() {
    this.started = true;
    this.pause(false);
    $("screen").focus({ preventScroll: true });
  }

  pause(on) {
    this.asked = this.connection.send(Kind.PAUSE, on ? 1 : 0);
    this.paused = on;
    this.input.forgetTaps();
    this.show();
  }

  togglePause() {
    if (!this.open || this.over) return;
    if (!this.started) this.start();
    else this.pause(!this.paused);
  }

  step() {
    if (!this.open || this.over) return;
    this.started = true;
    if (!this.paused) {
      this.pause(true);
      return;
    }
    this.meters.input(this.connection.send(Kind.STEP, this.input.action));
    this.show();
  }

  reset() {
    if (!this.open) return;
    const typed = $("seed").value.trim();
    if (typed && !$("seed").checkValidity()) {
      note("The seed must be a whole number from 0 to 4294967295.");
      return;
    }
    const seed = typed ? Number(typed) : Math.floor(Math.random() * MOST_SEED);
    this.connection.send(Kind.RESET, seed);
    this.seeded(seed);
    if (!this.started) this.start();
    this.lastAction = null;
    this.sendAction();
  }

  seeded(seed) {
    this.log.noteSeed(seed);
    $("seed-now").textContent = String(seed);
  }

  toggleAgent() {
    if (!this.open || !this.welcome.agent) return;
    this.agent = !this.agent;
    this.asked = this.connection.send(Kind.AGENT, this.agent ? 1 : 0);
    if (!this.started) this.start();
    if (this.agent && this.over) this.reset();
    this.lastAction = null;
    this.sendAction();
    note(this.agent ? `${this.welcome.agent} plays. Press a game key to take over.` : "You play.");
    this.show();
  }

  choose(game) {
    this.hello = { ...this.hello, game, seed: null, fps: this.rate(game) };
    this.connection.begin(this.hello);
  }

  setSpeed() {
    this.hello.fps = this.rate(this.welcome?.game);
    if (this.open) this.connection.resume(this.hello);
  }

  /** Steps a second at the chosen speed; null for the game's own. */
  rate(game) {
    const speed = Number($("speed").value);
    const own = this.games.find(({ name }) => name === game)?.fps ?? 15;
    return speed === 1 ? null : Math.min(60, Math.max(1, own * speed));
  }

  setTemperature(value) {
    this.hello.temperature = value;
    this.connection.send(Kind.TEMPERATURE, value);
    this.log.noteTemperature(value);
    this.showTemperature(value);
  }

  showTemperature(value) {
    $("temperature").value = String(value);
    $("temperature-value").textContent = value.toFixed(2);
  }

  toggleGif() {
    if (this.gif) {
      download(this.gif.finish(), `${this.fileName()}.gif`);
      note(`Saved ${this.gif.frames} frames as a GIF.`);
      this.gif = null;
    } else if (this.welcome) {
      this.gif = new GifEncoder(this.welcome.width, this.welcome.height, this.welcome.rgb);
      this.gifDebt = 0;
    }
    this.show();
  }

  record(pixels) {
    if (!this.gif) return;
    this.gifDebt += 100 / this.welcome.fps;
    const hundredths = Math.round(this.gifDebt);
    this.gifDebt -= hundredths;
    this.gif.add(pixels, hundredths);
    if (this.gif.frames >= MOST_GIF_FRAMES) this.toggleGif();
  }

  save() {
    download(this.log.file(), `${this.fileName()}.json`);
    note(`Saved ${this.log.messages.length} frames with their actions and points.`);
  }

  fileName() {
    return `rayatari-${this.welcome.game}-seed${this.log.games.at(-1)?.seed ?? 0}`;
  }

  /** The tab is hidden or seen again. */
  looked(visible) {
    this.connection.pinging = visible; // an abandoned session may end by itself; it is kept
    if (!visible) {
      this.input.releaseAll();
      if (this.open && this.started && !this.paused && !this.over) this.pause(true);
    } else if (this.link.phase === "ended" && this.link.code === 4010) {
      this.connection.resume();
    } else {
      this.connection.hurry();
    }
  }

  /** The button of the cover was pressed. */
  confirmed() {
    const view = this.view();
    if (view?.kind === "token") {
      this.hello.token = $("token").value.trim();
      sessionStorage.setItem("rayatari.token", this.hello.token);
      $("token").value = "";
      this.loadGames();
      this.connection.resume(this.hello);
    } else if (view?.kind === "start") this.start();
    else if (view?.kind === "over") this.reset();
    else if (view?.kind === "reload") location.reload();
    else if (view?.kind === "game") this.choose(this.games[0].name);
    else this.connection.resume(this.hello);
  }

  // What the page shows

  /** What covers the picture now: null, or {kind, title, text, button}. */
  view() {
    const { phase, title, text, remedy } = this.link;
    if (phase === "connecting") return { kind: "connecting", title: "Connecting …" };
    if (phase === "lost") return { kind: "lost", title, text, button: "Try now" };
    if (phase === "ended") {
      const other = this.games.length ? `Play ${this.games[0].title}` : null;
      const buttons = { token: "Enter", resume: "Go on here", reload: "Reload", game: other };
      return { kind: remedy, title, text, button: buttons[remedy] };
    }
    if (!this.welcome || this.waiting) return null;
    if (!this.started) return { kind: "start", title: this.welcome.title, text: "Any game key begins.", button: "Play" };
    if (this.over) return { kind: "over", title: "Game over", text: points(this.stand.score), button: "Play again" };
    return null;
  }

  show() {
    showOverlay(this.view());
    showScore(this.stand, this.welcome?.max_lives ?? 0);
    const seconds = this.gif && `${Math.floor(this.gif.frames / this.welcome.fps)} s`;
    const { agent, open, paused, started } = this;
    const agentName = this.welcome?.agent;
    showButtons({ open, paused: paused && started, agent, agentName, recording: seconds, frames: this.log.length });
    this.showStatus();
  }

  showStatus() {
    const { phase, retryAt } = this.link;
    const left = Math.ceil((retryAt - performance.now()) / 1000);
    const lost = left > 1 ? `Trying again in ${left} s` : "Trying again";
    const still = this.stand.flags & Flag.PAUSED && this.started; // the server's word, not the player's wish
    const play = still ? "Paused" : this.agent ? "The agent plays" : "";
    const notable = this.open && !this.over && Boolean(play);
    const open = notable ? play : "Connected";
    showStatus(phase, { connecting: "Connecting", open, lost, ended: "Not connected" }[phase], notable);
  }
}

function points(score) {
  return `${score.toLocaleString("en")} ${score === 1 ? "point" : "points"}`;
}

function playAddress() {
  const address = new URL("play", location.href);
  address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  address.search = address.hash = "";
  return address;
}

const player = new Player();
listen(player);
player.begin();
