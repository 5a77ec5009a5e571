// The wire protocol, version 1 (docs/protocol.md): messages packed and unpacked.

export const VERSION = 1;

export const Kind = { ACTION: 1, RESET: 2, TEMPERATURE: 3, PAUSE: 4, STEP: 5, AGENT: 6, PING: 7, SEEN: 8 };

export const Flag = { TERMINATED: 1, PAUSED: 2, AGENT: 4, FIRST: 8 };

export const NO_ACTION = 255;

const VALUE_BYTES = { [Kind.RESET]: 4, [Kind.TEMPERATURE]: 4, [Kind.SEEN]: 4, [Kind.PING]: 0 };
const FRAME = 0x81;
const PONG = 0x82;
const HEAD_BYTES = 32;
const ZLIB = 1;

/** The first message of a connection, as text. Empty values are left out. */
export function packHello(values) {
  const given = Object.entries(values).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return JSON.stringify({ type: "hello", version: VERSION, ...Object.fromEntries(given) });
}

/** A binary message of the client. */
export function pack(kind, number, value = 0) {
  const valueBytes = VALUE_BYTES[kind] ?? 1;
  const view = new DataView(new ArrayBuffer(5 + valueBytes));
  view.setUint8(0, kind);
  view.setUint32(1, number, true);
  if (kind === Kind.TEMPERATURE) view.setFloat32(5, value, true);
  else if (valueBytes === 4) view.setUint32(5, value, true);
  else if (valueBytes === 1) view.setUint8(5, value);
  return view.buffer;
}

/** Reads a binary message of the server: {pong: number}, or a frame whose pixels are still packed. */
export function unpack(buffer) {
  const view = new DataView(buffer);
  const type = view.byteLength ? view.getUint8(0) : 0;
  if (type === PONG && view.byteLength === 5) return { pong: view.getUint32(1, true) };
  if (type !== FRAME || view.byteLength < HEAD_BYTES) {
    throw new Error(`no message of this protocol: ${view.byteLength} bytes, type 0x${type.toString(16)}`);
  }
  const action = view.getUint8(3);
  return {
    encoding: view.getUint8(1),
    flags: view.getUint8(2),
    action: action === NO_ACTION ? null : action,
    sequence: view.getUint32(4, true),
    echo: view.getUint32(8, true),
    reward: view.getFloat32(12, true),
    score: view.getFloat32(16, true),
    lives: view.getUint16(20, true),
    stepMs: view.getFloat32(24, true),
    step: view.getUint32(28, true),
    packed: new Uint8Array(buffer, HEAD_BYTES),
    message: buffer,
  };
}

/** The frame's pixel values, one byte each, row by row. */
export async function pixelsOf(frame) {
  if (frame.encoding !== ZLIB) return frame.packed;
  const stream = new Blob([frame.packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
