// The picture: palette indices to a canvas, enlarged by whole screen pixels so that it stays crisp.

const TELEVISION = 1.75; // width of a pixel of 160 x 210 over its height, on a screen of 4:3

export class Screen {
  constructor(canvas, glow, stage) {
    Object.assign(this, { canvas, glow, stage });
    this.context = canvas.getContext("2d", { alpha: false });
    this.light = glow.getContext("2d", { alpha: false });
    this.shape = "tv";
    this.calm = matchMedia("(prefers-reduced-motion: reduce)");
    new ResizeObserver(() => this.fit()).observe(stage);
  }

  /** Takes over a game's size and colours (`rgb`: [red, green, blue] of each pixel value). */
  configure({ width, height, rgb }) {
    Object.assign(this.canvas, { width, height });
    this.image = this.context.createImageData(width, height);
    this.words = new Uint32Array(this.image.data.buffer);
    this.colours = new Uint32Array(256).fill(0xff000000);
    rgb.forEach(([r, g, b], index) => (this.colours[index] = (0xff000000 | (b << 16) | (g << 8) | r) >>> 0));
    this.fit();
  }

  /** Shows pixel values, one byte each. */
  draw(pixels) {
    for (let at = 0; at < this.words.length; at++) this.words[at] = this.colours[pixels[at]];
    this.context.putImageData(this.image, 0, 0);
    if (!this.calm.matches) this.light.drawImage(this.canvas, 0, 0, this.glow.width, this.glow.height);
  }

  /** Chooses the largest picture that the stage has room for. */
  fit() {
    const ratio = window.devicePixelRatio || 1;
    const room = [this.stage.clientWidth * ratio, this.stage.clientHeight * ratio];
    const { width, height } = this.canvas;
    const [across, down] = scale(room[0] / width, room[1] / height, this.shape);
    this.canvas.style.width = `${(width * across) / ratio}px`;
    this.canvas.style.height = `${(height * down) / ratio}px`;
    this.canvas.dataset.scale = `${across}x${down}`;
    this.glow.style.width = `${(1.35 * width * across) / ratio}px`;
    this.glow.style.height = `${(1.3 * height * down) / ratio}px`;
    this.#align(ratio);
  }

  /** Moves the picture onto whole pixels of the screen. */
  #align(ratio) {
    this.canvas.style.translate = "none";
    const { left, top } = this.canvas.getBoundingClientRect();
    const off = (at) => (Math.round(at * ratio) - at * ratio) / ratio;
    this.canvas.style.translate = `${off(left + scrollX)}px ${off(top + scrollY)}px`;
  }
}

/** Whole multiples [across, down] that fit `maxAcross` and `maxDown`, by the shape of a pixel. */
export function scale(maxAcross, maxDown, shape) {
  const most = [Math.max(1, Math.floor(maxAcross + 1e-6)), Math.max(1, Math.floor(maxDown + 1e-6))];
  let best = [1, 1];
  let record = -Infinity;
  for (let down = 1; down <= most[1]; down++) {
    for (const across of candidates(down, shape)) {
      if (across > most[0]) continue;
      const error = shape === "tv" ? Math.abs(Math.log(across / down / TELEVISION)) : 0;
      const worth = across * down * (1 - 3 * error);
      if (error < 0.16 && worth > record) [best, record] = [[across, down], worth];
    }
  }
  return best;
}

function candidates(down, shape) {
  if (shape === "square") return [down];
  if (shape === "wide") return [2 * down];
  return [Math.floor(TELEVISION * down), Math.ceil(TELEVISION * down)];
}
