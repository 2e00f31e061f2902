import type { RunLog } from "./run_log.js";

/** Table of CRC-32C (Castagnoli), reflected. */
const table = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let k = 0; k < 8; k++) c = c & 1 ? (c >>> 1) ^ 0x82f63b78 : c >>> 1;
  return c >>> 0;
});

export function crc32c(bytes: Uint8Array): number {
  let c = 0xffffffff;
  for (const byte of bytes) c = (table[(c ^ byte) & 255] ?? 0) ^ (c >>> 8);
  return (c ^ 0xffffffff) >>> 0;
}

/** TensorFlow stores checksums rotated and shifted, so that a checksum of checksums stays one. */
const masked = (crc: number): number => (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;

/** A record of a TFRecord file: length, its checksum, data, its checksum. */
function record(data: Uint8Array): Buffer {
  const head = Buffer.alloc(8);
  head.writeBigUInt64LE(BigInt(data.length));
  const word = (value: number): Buffer => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(value);
    return bytes;
  };
  return Buffer.concat([head, word(masked(crc32c(head))), data, word(masked(crc32c(data)))]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
  bytes.push(rest);
  return Buffer.from(bytes);
}

const field = (number: number, wire: number): Buffer => varint(number * 8 + wire);
const bytesField = (number: number, data: Uint8Array): Buffer =>
  Buffer.concat([field(number, 2), varint(data.length), data]);

function double(number: number, value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value);
  return Buffer.concat([field(number, 1), bytes]);
}

function float(number: number, value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return Buffer.concat([field(number, 5), bytes]);
}

/** A picture for TensorBoard's images; width and height in pixels. */
export interface EventImage {
  tag: string;
  step: number;
  png: Buffer;
  width: number;
  height: number;
}

/** An `Event` (event.proto) with one Summary.Value {tag = 1, …}. */
function valueEvent(tag: string, step: number, value: Buffer, wallTime: number): Buffer {
  const summary = bytesField(1, Buffer.concat([bytesField(1, Buffer.from(tag)), value]));
  return Buffer.concat([double(1, wallTime), field(2, 0), varint(step), bytesField(5, summary)]);
}

/** simple_value = 2. */
const scalar = (value: number): Buffer => float(2, value);

/** image = 4, of Summary.Image {height = 1, width = 2, colorspace = 3 (RGBA is 4), encoded_image_string = 4}. */
function image({ png, width, height }: EventImage): Buffer {
  const sizes = [height, width, 4].flatMap((n, i) => [field(i + 1, 0), varint(n)]);
  return bytesField(4, Buffer.concat([...sizes, bytesField(4, png)]));
}

/**
 * A TensorBoard event file of a run: scalars `train/<name>`, `eval/<name>`, `sharpness/<name>` and the means of curvature, `curvature/<tensor>`
 * or another kind, by step, and pictures. `startTime`: seconds since 1970 that wall times count from. The format is that of TensorFlow's event.proto in a TFRecord
 * file.
 */
export function eventFile(log: RunLog, startTime: number, images: readonly EventImage[] = []): Buffer {
  const wallTime = (step: number): number => startTime + (log.times.get(step) ?? 0);
  const version = Buffer.concat([double(1, startTime), bytesField(3, Buffer.from("brain.Event:2"))]);
  const records = [record(version)];
  for (const [kind, tracks] of [
    ["train", log.steps],
    ["eval", log.evaluations],
    ["sharpness", log.sharpness],
    ...log.curvature,
  ] as const) {
    for (const [name, track] of tracks) {
      for (const [step, value] of track) {
        records.push(record(valueEvent(`${kind}/${name}`, step, scalar(value), wallTime(step))));
      }
    }
  }
  for (const each of images) records.push(record(valueEvent(each.tag, each.step, image(each), wallTime(each.step))));
  return Buffer.concat(records);
}
