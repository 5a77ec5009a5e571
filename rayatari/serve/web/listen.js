// What a person does with the page becomes a command of the player.

import { $, showMeters } from "./panel.js";

const COMMANDS = { KeyP: "togglePause", Period: "step", KeyR: "reset", KeyT: "toggleAgent", KeyG: "toggleGif" };

/** Keys that this element needs for itself. */
function keepsKey(element, code) {
  if (element.matches("input:not([type=range]), select, textarea")) return true;
  if (element.matches("input[type=range]")) return code.startsWith("Arrow");
  return element.matches("button, a") && (code === "Space" || code === "Enter");
}

/** Lets keys, buttons and the state of the tab reach the player. */
export function listen(player) {
  addEventListener("keydown", (event) => {
    const { code, target, repeat } = event;
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (code === "Escape") $("screen").focus({ preventScroll: true });
    if (target instanceof Element && keepsKey(target, code)) return;
    if (player.input.knows(code)) {
      event.preventDefault();
      if (!repeat) player.input.press("key", code);
    } else if (COMMANDS[code] && (!repeat || code === "Period")) {
      event.preventDefault();
      player[COMMANDS[code]]();
    }
  });
  addEventListener("keyup", ({ code }) => player.input.release("key", code));
  addEventListener("blur", () => player.input.releaseAll());
  addEventListener("online", () => player.connection.hurry());
  document.addEventListener("visibilitychange", () => player.looked(!document.hidden));

  const commands = { pause: "togglePause", step: "step", reset: "reset", agent: "toggleAgent", gif: "toggleGif", save: "save" };
  for (const [id, command] of Object.entries(commands)) {
    $(id).addEventListener("click", ({ detail }) => {
      player[command]();
      if (detail) $("screen").focus({ preventScroll: true }); // the mouse's focus would catch the space bar
    });
  }
  $("overlay-box").addEventListener("submit", (event) => {
    event.preventDefault();
    player.confirmed();
  });
  $("game").addEventListener("change", ({ target }) => player.choose(target.value));
  $("temperature").addEventListener("input", ({ target }) => player.setTemperature(Number(target.value)));
  $("speed").addEventListener("change", () => player.setSpeed());
  $("shape").addEventListener("change", ({ target }) => {
    player.screen.shape = target.value;
    player.screen.fit();
  });
  player.input.attachTouch($("pad"), $("fire"));
  setInterval(() => {
    showMeters(player.meters.read());
    player.showStatus();
  }, 500);
  const poll = () => {
    player.input.pollGamepads();
    requestAnimationFrame(poll);
  };
  poll();
}
