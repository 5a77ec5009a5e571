// GIF from frames of palette indices: lossless, only the changed rectangle of each frame is written.

export class GifEncoder {
  /** Pixels of the game become `across` × `down` pixels of the picture. `rgb`: colour of each index. */
  constructor(width, height, rgb, across = 4, down = 2) {
    Object.assign(this, { width, height, across, down });
    this.bits = Math.max(2, Math.ceil(Math.log2(Math.max(2, rgb.length))));
    this.parts = [this.#header(rgb)];
    this.last = null;
    this.delay = null;
    this.frames = 0;
  }

  /** Adds a frame (one index a pixel) that is shown for `hundredths` of a second. */
  add(pixels, hundredths) {
    const box = this.#changed(pixels);
    this.frames += 1;
    if (!box) {
      this.delay.setUint16(4, Math.min(65535, this.delay.getUint16(4, true) + hundredths), true);
      return;
    }
    const control = new Uint8Array([0x21, 0xf9, 4, 0x04, 0, 0, 0, 0]); // keep what is there
    this.delay = new DataView(control.buffer);
    this.delay.setUint16(4, hundredths, true);
    const [left, top, right, bottom] = box;
    const descriptor = new DataView(new ArrayBuffer(10));
    descriptor.setUint8(0, 0x2c);
    descriptor.setUint16(1, left * this.across, true);
    descriptor.setUint16(3, top * this.down, true);
    descriptor.setUint16(5, (right - left) * this.across, true);
    descriptor.setUint16(7, (bottom - top) * this.down, true);
    this.parts.push(control, descriptor.buffer, compress(this.#enlarged(pixels, box), this.bits));
    this.last = pixels.slice();
  }

  /** The finished file. */
  finish() {
    return new Blob([...this.parts, new Uint8Array([0x3b])], { type: "image/gif" });
  }

  #header(rgb) {
    const colours = 1 << this.bits;
    const bytes = new Uint8Array(13 + 3 * colours + 19);
    const view = new DataView(bytes.buffer);
    bytes.set(ascii("GIF89a"));
    view.setUint16(6, this.width * this.across, true);
    view.setUint16(8, this.height * this.down, true);
    bytes[10] = 0xf0 | (this.bits - 1);
    rgb.forEach((colour, index) => bytes.set(colour, 13 + 3 * index));
    bytes.set([0x21, 0xff, 11, ...ascii("NETSCAPE2.0"), 3, 1, 0, 0, 0], 13 + 3 * colours); // for ever
    return bytes;
  }

  /** [left, top, right, bottom] of what differs from the frame before; null where nothing does. */
  #changed(pixels) {
    const { width, height, last } = this;
    if (!last) return [0, 0, width, height];
    let [left, top, right, bottom] = [width, height, 0, 0];
    for (let y = 0, at = 0; y < height; y++) {
      for (let x = 0; x < width; x++, at++) {
        if (pixels[at] === last[at]) continue;
        if (x < left) left = x;
        if (x >= right) right = x + 1;
        if (y < top) top = y;
        bottom = y + 1;
      }
    }
    return bottom ? [left, top, right, bottom] : null;
  }

  #enlarged(pixels, [left, top, right, bottom]) {
    const { width, across, down } = this;
    const line = (right - left) * across;
    const out = new Uint8Array(line * (bottom - top) * down);
    let at = 0;
    for (let y = top; y < bottom; y++) {
      const start = at;
      for (let x = left; x < right; x++) {
        out.fill(pixels[y * width + x], at, at + across);
        at += across;
      }
      for (let copy = 1; copy < down; copy++, at += line) out.copyWithin(at, start, start + line);
    }
    return out;
  }
}

function ascii(text) {
  return Array.from(text, (letter) => letter.charCodeAt(0));
}

/** Image data of a GIF: LZW with codes of `bits` + 1 to 12 bits, in blocks of up to 255 bytes. */
function compress(pixels, bits) {
  const clear = 1 << bits;
  const end = clear + 1;
  const codeOf = new Uint16Array(4096 << bits); // code of (prefix, pixel); 0: none yet
  const bytes = [];
  let buffer = 0;
  let filled = 0;
  let size = bits + 1;
  let next = end + 1;
  const write = (code) => {
    buffer |= code << filled;
    filled += size;
    for (; filled >= 8; filled -= 8, buffer >>>= 8) bytes.push(buffer & 255);
  };
  write(clear);
  let prefix = pixels[0];
  for (let at = 1; at < pixels.length; at++) {
    const key = (prefix << bits) | pixels[at];
    if (codeOf[key]) {
      prefix = codeOf[key];
      continue;
    }
    write(prefix);
    if (next === 4096) {
      write(clear);
      codeOf.fill(0);
      next = end + 1;
      size = bits + 1;
    } else {
      if (next >= 1 << size) size += 1;
      codeOf[key] = next++;
    }
    prefix = pixels[at];
  }
  write(prefix);
  if (next >= 1 << size && size < 12) size += 1;
  write(end);
  if (filled) bytes.push(buffer & 255);
  return inBlocks(bytes, bits);
}

function inBlocks(bytes, bits) {
  const out = new Uint8Array(2 + bytes.length + Math.ceil(bytes.length / 255));
  out[0] = bits;
  let at = 1;
  for (let from = 0; from < bytes.length; from += 255) {
    const block = bytes.slice(from, from + 255);
    out[at++] = block.length;
    out.set(block, at);
    at += block.length;
  }
  return out;
}
