// Keyboard, touch and gamepad become the index of one action.

const OPPOSITE = { up: "down", down: "up", left: "right", right: "left" };
const DIRECTIONS = { up: "ArrowUp", down: "ArrowDown", left: "ArrowLeft", right: "ArrowRight" };
const FIRE = "Space";
const STICK = 0.4;

export class Input {
  /** handlers: change() when the action may differ, press(button) at every new press, menu() and reset(). */
  constructor(handlers) {
    this.handlers = handlers;
    this.keymap = {};
    this.actions = ["NOOP"];
    this.held = new Map(); // source and key -> key
    this.taps = new Map(); // button that was pressed -> number of the message that told of it
    this.keepTaps = false;
    this.pads = new Map();
  }

  /** Takes over the facts of a game. */
  configure({ keymap, actions }) {
    this.keymap = keymap;
    this.actions = actions;
    this.taps.clear();
  }

  knows(code) {
    return code in this.keymap;
  }

  /** Whether pressing that key can change anything in this game. */
  useful(code) {
    const button = this.keymap[code];
    return Boolean(button) && this.actions.some((name) => name.includes(button.toUpperCase()));
  }

  press(source, code) {
    const id = `${source} ${code}`;
    const button = this.keymap[code];
    if (!button || this.held.has(id)) return;
    this.held.set(id, code);
    if (this.keepTaps) this.taps.set(button, null);
    if (OPPOSITE[button]) this.taps.delete(OPPOSITE[button]);
    this.handlers.press(button);
    this.handlers.change();
  }

  release(source, code) {
    if (this.held.delete(`${source} ${code}`)) this.handlers.change();
  }

  /** Holds exactly these keys of a source. */
  hold(source, codes) {
    for (const [id, code] of [...this.held]) {
      if (id.startsWith(`${source} `) && !codes.includes(code)) this.release(source, code);
    }
    codes.forEach((code) => this.press(source, code));
  }

  releaseAll() {
    this.held.clear();
    this.taps.clear();
    this.handlers.change();
  }

  forgetTaps() {
    this.taps.clear();
  }

  /** A message of that number carries all that is pressed now. */
  told(number) {
    for (const [button, known] of this.taps) if (known === null) this.taps.set(button, number);
  }

  /** The server has played everything up to `echo`: taps that are in it may end. */
  played(echo) {
    for (const [button, number] of [...this.taps]) {
      if (number !== null && number <= echo) this.taps.delete(button);
    }
    this.handlers.change();
  }

  /** Index of the action for all that is held or was tapped; the rule is in docs/protocol.md. */
  get action() {
    const held = new Set(this.taps.keys());
    for (const code of this.held.values()) held.add(this.keymap[code]);
    const fire = held.has("fire") ? ["FIRE", ""] : [""];
    const across = held.has("left") === held.has("right") ? [""] : [held.has("left") ? "LEFT" : "RIGHT", ""];
    const along = held.has("up") === held.has("down") ? [""] : [held.has("up") ? "UP" : "DOWN", ""];
    for (const f of fire) {
      for (const x of across) {
        for (const y of along) {
          const index = this.actions.indexOf(y + x + f);
          if (index >= 0) return index;
        }
      }
    }
    return Math.max(0, this.actions.indexOf("NOOP"));
  }

  /** Reads all gamepads; called once for every picture of the screen. */
  pollGamepads() {
    for (const pad of navigator.getGamepads?.() ?? []) {
      if (!pad?.connected) continue;
      const down = (index) => Boolean(pad.buttons[index]?.pressed);
      const [x = 0, y = 0] = pad.axes;
      const codes = [];
      if (down(12) || y < -STICK) codes.push(DIRECTIONS.up);
      if (down(13) || y > STICK) codes.push(DIRECTIONS.down);
      if (down(14) || x < -STICK) codes.push(DIRECTIONS.left);
      if (down(15) || x > STICK) codes.push(DIRECTIONS.right);
      if ([0, 1, 2, 3, 5, 7].some(down)) codes.push(FIRE);
      this.hold(`gamepad${pad.index}`, codes);
      const before = this.pads.get(pad.index) ?? {};
      const now = { menu: down(9), reset: down(8) };
      if (now.menu && !before.menu) this.handlers.menu();
      if (now.reset && !before.reset) this.handlers.reset();
      this.pads.set(pad.index, now);
    }
  }

  /** Makes a touch pad of `element` (eight ways, thumbs may slide) and a fire button of `fire`. */
  attachTouch(element, fire) {
    const keysAt = (event) => {
      const box = element.getBoundingClientRect();
      const x = (event.clientX - box.left) / box.width - 0.5;
      const y = (event.clientY - box.top) / box.height - 0.5;
      if (!this.useful(DIRECTIONS.up) && !this.useful(DIRECTIONS.down)) {
        return [x < 0 ? DIRECTIONS.left : DIRECTIONS.right];
      }
      const [far, near] = [Math.max(Math.abs(x), Math.abs(y)), Math.min(Math.abs(x), Math.abs(y))];
      if (far < 0.08) return [];
      const codes = [];
      const both = near > far * 0.5;
      if (both || Math.abs(x) === far) codes.push(x < 0 ? DIRECTIONS.left : DIRECTIONS.right);
      if (both || Math.abs(y) === far) codes.push(y < 0 ? DIRECTIONS.up : DIRECTIONS.down);
      return codes.filter((code) => this.useful(code));
    };
    follow(element, (event) => this.#touch(element, "pad", event ? keysAt(event) : []));
    follow(fire, (event) => this.#touch(fire, "fire", event ? [FIRE] : []));
  }

  #touch(element, source, codes) {
    this.hold(source, codes);
    for (const part of [element, ...element.querySelectorAll("[data-key]")]) {
      if (part.dataset.key) part.toggleAttribute("data-held", codes.includes(part.dataset.key));
    }
  }
}

/** Calls `tell` with each event of a finger on `element`, and with null when it is lifted. */
function follow(element, tell) {
  let finger = null;
  element.addEventListener("pointerdown", (event) => {
    finger = event.pointerId;
    element.setPointerCapture(finger);
    tell(event);
  });
  element.addEventListener("pointermove", (event) => event.pointerId === finger && tell(event));
  for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
    element.addEventListener(end, (event) => {
      if (event.pointerId !== finger) return;
      finger = null;
      tell(null);
    });
  }
  element.addEventListener("contextmenu", (event) => event.preventDefault());
}
