// What was played, kept as it came over the wire, for a download (format: docs/browser.md).

const MOST_FRAMES = 27000; // half an hour; some 20 MB

export class SessionLog {
  constructor() {
    this.begin({});
  }

  /** Starts anew with the welcome of a session. */
  begin(welcome) {
    this.welcome = { ...welcome };
    delete this.welcome.session; // the key to the running session stays here
    this.messages = [];
    this.games = [];
    this.temperatures = [];
    this.dropped = 0;
  }

  add(message) {
    this.messages.push(message);
    if (this.messages.length > MOST_FRAMES) {
      this.messages.splice(0, 900);
      this.dropped += 900;
    }
  }

  noteSeed(seed) {
    this.games.push({ frame: this.length, seed });
  }

  noteTemperature(temperature) {
    this.temperatures.push({ frame: this.length, temperature });
  }

  get length() {
    return this.dropped + this.messages.length;
  }

  /** The file: JSON, with each FRAME message in base64. */
  file() {
    const { welcome, games, temperatures, dropped } = this;
    const head = { format: "rayatari session", version: 1, welcome, games, temperatures, dropped };
    const frames = this.messages.map((message) => `  "${base64(message)}"`);
    const text = `${JSON.stringify(head).slice(0, -1)},\n "frames": [\n${frames.join(",\n")}\n ]}\n`;
    return new Blob([text], { type: "application/json" });
  }
}

function base64(buffer) {
  const bytes = new Uint8Array(buffer);
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return btoa(text);
}

/** Lets the browser save a file. */
export function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}
