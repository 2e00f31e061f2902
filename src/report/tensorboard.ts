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

/** An `Event` (event.proto) with one scalar: Summary.Value {tag = 1, simple_value = 2}. */
function scalarEvent(tag: string, step: number, value: number, wallTime: number): Buffer {
  const summary = bytesField(1, Buffer.concat([bytesField(1, Buffer.from(tag)), float(2, value)]));
  return Buffer.concat([double(1, wallTime), field(2, 0), varint(step), bytesField(5, summary)]);
}

/**
 * A TensorBoard event file of a run: `train/<name>` and `eval/<name>` scalars by step. `startTime`: seconds since 1970 that wall times
 * count from. The format is that of TensorFlow's event.proto in a TFRecord file.
 */
export function eventFile(log: RunLog, startTime: number): Buffer {
  const version = Buffer.concat([double(1, startTime), bytesField(3, Buffer.from("brain.Event:2"))]);
  const records = [record(version)];
  for (const [kind, tracks] of [
    ["train", log.steps],
    ["eval", log.evaluations],
  ] as const) {
    for (const [name, track] of tracks) {
      for (const [step, value] of track) records.push(record(scalarEvent(`${kind}/${name}`, step, value, startTime)));
    }
  }
  return Buffer.concat(records);
}
