// Everything that the page shows besides the picture.

export const $ = (id) => document.getElementById(id);

let noteTimer = 0;

/** Says something in passing. */
export function note(text) {
  clearTimeout(noteTimer);
  $("note").textContent = text;
  noteTimer = setTimeout(() => ($("note").textContent = ""), 6000);
}

/** The cover over the picture: {title, text, button, token}; null takes it away. */
export function showOverlay(view) {
  const overlay = $("overlay");
  overlay.hidden = !view;
  if (!view) {
    if (overlay.contains(document.activeElement)) $("screen").focus({ preventScroll: true });
    return;
  }
  overlay.dataset.kind = view.kind;
  setText("overlay-title", view.title);
  setText("overlay-text", view.text ?? "");
  setText("overlay-button", view.button ?? "");
  $("overlay-button").hidden = !view.button;
  $("token-label").hidden = view.kind !== "token";
}

/** The line at the top right; `notable` where it is more than that all is well. */
export function showStatus(phase, text, notable) {
  $("connection").dataset.phase = phase;
  $("connection").toggleAttribute("data-notable", notable);
  setText("connection-text", text);
}

export function showScore({ score, step, lives }, maxLives) {
  setText("steps", String(step));
  setText("score", Number.isInteger(score) ? score.toLocaleString("en") : score.toFixed(1));
  $("lives-row").hidden = !maxLives;
  const row = $("lives");
  const key = `${lives}/${maxLives}`;
  if (row.dataset.key === key) return;
  row.dataset.key = key;
  if (maxLives > 6 || lives > maxLives) {
    row.textContent = String(lives);
    return;
  }
  const pips = Array.from({ length: maxLives }, (_, index) => {
    const pip = document.createElement("i");
    pip.className = index < lives ? "pip" : "pip lost";
    return pip;
  });
  const words = document.createElement("span");
  words.className = "sr";
  words.textContent = `${lives} of ${maxLives}`;
  row.replaceChildren(...pips, words);
}

export function showMeters({ fps, latency, network, model }) {
  const ms = (value) => (value === null ? "–" : `${value < 9.95 ? value.toFixed(1) : Math.round(value)} ms`);
  setText("fps", fps === null ? "–" : fps.toFixed(1));
  setText("latency", ms(latency));
  setText("network", ms(network));
  setText("model", ms(model));
}

/** Sets what the buttons show: {open, paused, agent, agentName, recording, frames}. */
export function showButtons({ open, paused, agent, agentName, recording, frames }) {
  press("pause", paused, paused ? "Go on" : "Pause");
  press("agent", agent, agent ? "Take over" : "Agent plays");
  press("gif", recording !== null, recording === null ? "Record GIF" : `Stop, save GIF ${recording}`);
  for (const id of ["pause", "step", "reset"]) $(id).disabled = !open;
  $("agent").disabled = !open || !agentName;
  $("agent").title = agentName ? `Player: ${agentName}` : "There is no trained agent for this game on the server";
  $("gif").disabled = !frames;
  $("save").disabled = !frames;
}

/** Lists the games to choose from. */
export function showGames(games, chosen) {
  const options = games.map(({ name, title }) => new Option(title, name, false, name === chosen));
  $("game").replaceChildren(...options);
  $("game").disabled = games.length < 1;
}

/** Shows the keys and touch controls that a game uses. */
export function showKeys(useful, keymap) {
  for (const button of document.querySelectorAll("#pads [data-key]")) button.hidden = !useful(button.dataset.key);
  $("pad").classList.toggle("row-only", !useful("ArrowUp") && !useful("ArrowDown"));
  const names = Object.keys(keymap).filter(useful).map(keyName);
  const keys = names.map((name) => Object.assign(document.createElement("kbd"), { textContent: name }));
  $("keys").replaceChildren("Keys: ", ...keys.flatMap((key) => [key, " "]), "or a gamepad.");
}

function keyName(code) {
  const arrows = { ArrowUp: "↑", ArrowDown: "↓", ArrowLeft: "←", ArrowRight: "→" };
  return arrows[code] ?? code.replace(/^Key|^Digit/, "");
}

function press(id, on, label) {
  $(id).setAttribute("aria-pressed", String(on));
  const [text] = $(id).childNodes;
  if (text.data !== `${label} `) text.data = `${label} `;
}

function setText(id, text) {
  if ($(id).textContent !== text) $(id).textContent = text;
}
