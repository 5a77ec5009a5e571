// Frames a second, and the time from an input to its picture.

export class Meters {
  constructor() {
    this.clear();
  }

  clear() {
    this.drawn = [];
    this.sent = new Map();
    this.latencies = [];
    this.network = null;
    this.model = null;
  }

  /** An input was sent under that number. */
  input(number) {
    if (number) this.sent.set(number, performance.now());
  }

  /** A frame is on the canvas. */
  frame({ echo, stepMs, action }) {
    const now = performance.now();
    this.drawn.push(now);
    if (action !== null) this.model = stepMs;
    for (const [number, at] of this.sent) {
      if (number > echo) break;
      this.sent.delete(number);
      this.latencies.push(now - at);
    }
    this.latencies.splice(0, this.latencies.length - 15);
  }

  /** {fps, latency, network, model}: the first a second, the others in milliseconds; null: not known. */
  read() {
    const now = performance.now();
    this.drawn = this.drawn.filter((at) => now - at < 2000);
    const span = this.drawn.length > 2 ? now - this.drawn[0] : 0;
    return {
      fps: span > 600 ? ((this.drawn.length - 1) * 1000) / (this.drawn.at(-1) - this.drawn[0]) : null,
      latency: this.latencies.length ? [...this.latencies].sort((a, b) => a - b)[this.latencies.length >> 1] : null,
      network: this.network,
      model: this.model,
    };
  }
}
