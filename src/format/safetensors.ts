import type { Hash } from "node:crypto";
import { closeSync, fstatSync, openSync } from "node:fs";
import { UserError, check } from "../util/assert.js";
import { byteLength, type DType } from "../util/dtype.js";
import { onFile, readFully, writeAll, writeAtomically } from "../util/files.js";
import { sizeOf } from "../util/shape.js";

/**
 * The safetensors file format: 8 bytes of header size (little-endian), a JSON header `{name: {dtype, shape,
 * data_offsets}}` padded with spaces to a multiple of 8 bytes, then the elements, packed, without holes.
 */
const names = {
  bool: "BOOL",
  uint8: "U8",
  int8: "I8",
  uint16: "U16",
  int16: "I16",
  float16: "F16",
  bfloat16: "BF16",
  uint32: "U32",
  int32: "I32",
  float32: "F32",
  uint64: "U64",
  int64: "I64",
  float64: "F64",
  complex64: "C64",
  float8e4m3fn: "F8_E4M3",
  float8e5m2: "F8_E5M2",
  float8e4m3fnuz: "F8_E4M3FNUZ",
  float8e5m2fnuz: "F8_E5M2FNUZ",
  float8e8m0: "F8_E8M0",
  float4e2m1: "F4",
} as const satisfies Partial<Record<DType, string>>;

const dtypes = new Map<string, DType>(Object.entries(names).map(([dtype, name]) => [name, dtype as DType]));

/** The largest header that readers of the format accept. */
const maxHeader = 100_000_000;

/** A tensor to write. Bytes behind a function are asked for when their turn comes, so that one tensor is held at a time. */
export interface TensorToWrite {
  name: string;
  dtype: DType;
  shape: readonly number[];
  /** The packed little-endian elements. */
  bytes: Uint8Array | (() => Uint8Array);
}

/** Where a tensor lies in a file. */
export interface TensorEntry {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** First byte, counted from the start of the file. */
  readonly offset: number;
  readonly byteLength: number;
}

/**
 * Writes `tensors` to `path`, atomically and one tensor at a time. As in the reference implementation, wide elements
 * come first, so that every tensor is aligned to its element size, and then names in order: equal contents give equal files.
 * `hash` is given every byte as it is written.
 */
export function writeSafetensors(
  path: string,
  tensors: Iterable<TensorToWrite>,
  metadata: Readonly<Record<string, string>> = {},
  hash?: Hash,
): void {
  const sorted = [...tensors].sort(
    (a, b) => byteLength(b.dtype, 64) - byteLength(a.dtype, 64) || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0),
  );
  // A Map, so that a tensor may have any name.
  const header = new Map<string, unknown>();
  if (Object.keys(metadata).length > 0) header.set("__metadata__", metadata);
  let end = 0;
  for (const { name, dtype, shape } of sorted) {
    check(!header.has(name), `${path}: two tensors are called "${name}"; give each its own name`);
    check(name !== "__metadata__", `${path}: a tensor cannot be called "__metadata__"; the format reserves the name`);
    const stored = dtype in names ? names[dtype as keyof typeof names] : undefined;
    check(stored !== undefined, `${path}: tensor "${name}" is ${dtype}, which safetensors has no name for`);
    const begin = end;
    end += byteLength(dtype, sizeOf(shape));
    header.set(name, { dtype: stored, shape, data_offsets: [begin, end] });
  }
  const fields = [...header].map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`);
  const json = Buffer.from(`{${fields.join(",")}}`);
  const size = Math.ceil(json.byteLength / 8) * 8;
  check(size <= maxHeader, `${path}: the header would take ${size} bytes; readers stop at ${maxHeader}`);
  const head = Buffer.alloc(8 + size, 0x20);
  head.writeBigUInt64LE(BigInt(size), 0);
  json.copy(head, 8);
  writeAtomically(path, (fd) => {
    const put = (bytes: Uint8Array): void => {
      writeAll(fd, bytes);
      hash?.update(bytes);
    };
    put(head);
    for (const { name, dtype, shape, bytes } of sorted) {
      const data = typeof bytes === "function" ? bytes() : bytes;
      const expected = byteLength(dtype, sizeOf(shape));
      check(
        data.byteLength === expected,
        `${path}: tensor "${name}" came with ${data.byteLength} bytes; ${dtype}[${shape.join(",")}] takes ${expected}`,
      );
      put(data);
    }
  });
}

/**
 * A safetensors file opened for reading. Opening reads and checks the header only; `bytes(name)` reads one tensor.
 * Throws a `UserError` where the file is truncated, its sizes disagree, or tensors overlap or leave holes.
 */
export class SafetensorsFile {
  readonly entries: ReadonlyMap<string, TensorEntry>;
  readonly metadata: ReadonlyMap<string, string>;
  private fd: number | null;

  constructor(readonly path: string) {
    this.fd = onFile(path, "read", () => openSync(path, "r"));
    try {
      const { entries, metadata } = readHeader(path, this.fd);
      this.entries = entries;
      this.metadata = metadata;
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Reads every tensor's place, runs `body`, closes. */
  static using<T>(path: string, body: (file: SafetensorsFile) => T): T {
    const file = new SafetensorsFile(path);
    try {
      return body(file);
    } finally {
      file.close();
    }
  }

  /** Where tensor `name` lies, or a `UserError` that names the file. */
  entry(name: string): TensorEntry {
    const entry = this.entries.get(name);
    check(entry, `${this.path}: it holds no tensor "${name}"`);
    return entry;
  }

  /** The packed elements of tensor `name`, in a buffer of their own (so a typed array of any width fits over it). */
  bytes(name: string): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(this.entry(name).byteLength);
    this.readInto(name, bytes);
    return bytes;
  }

  /** The elements of a float32 tensor. */
  float32(name: string): Float32Array<ArrayBuffer> {
    const entry = this.entry(name);
    check(entry.dtype === "float32", `${this.path}: tensor "${name}" is ${entry.dtype}; float32 expected`);
    return new Float32Array(this.bytes(name).buffer);
  }

  /** Reads tensor `name` into `target`, which must have its size. */
  readInto(name: string, target: Uint8Array): void {
    const { offset, byteLength: length } = this.entry(name);
    check(
      target.byteLength === length,
      `${this.path}: tensor "${name}" takes ${length} bytes; ${target.byteLength} expected`,
    );
    const fd = this.fd;
    check(fd !== null, `${this.path}: read after it was closed`);
    onFile(this.path, "read", () => read(this.path, fd, target, offset));
  }

  close(): void {
    if (this.fd !== null) closeSync(this.fd);
    this.fd = null;
  }
}

const read = (path: string, fd: number, target: Uint8Array, offset: number): void =>
  readFully(fd, target, offset, (byte) => `${path}: it ends at byte ${byte}; the file is truncated`);

interface Header {
  entries: Map<string, TensorEntry>;
  metadata: Map<string, string>;
}

function readHeader(path: string, fd: number): Header {
  const fileSize = fstatSync(fd).size;
  check(fileSize >= 8, `${path}: ${fileSize} bytes are no safetensors file; it is truncated`);
  const head = Buffer.alloc(8);
  read(path, fd, head, 0);
  const size = head.readBigUInt64LE(0);
  check(size <= BigInt(maxHeader), `${path}: a header of ${size} bytes; this is not a safetensors file`);
  const start = 8 + Number(size);
  check(start <= fileSize, `${path}: the header ends at byte ${start} of ${fileSize}; the file is truncated`);
  const text = Buffer.alloc(Number(size));
  read(path, fd, text, 8);
  const header = parseHeader(path, text.toString("utf8"));
  const metadata = new Map<string, string>();
  const entries = new Map<string, TensorEntry>();
  for (const [name, value] of Object.entries(header)) {
    if (name === "__metadata__") {
      check(isObject(value), `${path}: __metadata__ is not an object of strings`);
      for (const [key, text] of Object.entries(value)) {
        check(typeof text === "string", `${path}: __metadata__ "${key}" is not a string`);
        metadata.set(key, text);
      }
    } else {
      entries.set(name, parseEntry(`${path}: tensor "${name}"`, value, start));
    }
  }
  let end = start;
  let before = "the header";
  for (const [name, e] of [...entries].sort(([, a], [, b]) => a.offset - b.offset || a.byteLength - b.byteLength)) {
    check(
      e.offset >= end,
      `${path}: tensor "${name}" overlaps ${before}; the file is damaged or was not made honestly`,
    );
    check(e.offset === end, `${path}: ${e.offset - end} bytes before tensor "${name}" belong to no tensor`);
    end = e.offset + e.byteLength;
    before = `tensor "${name}"`;
  }
  check(end <= fileSize, `${path}: ${before} ends at byte ${end}, the file at byte ${fileSize}; the file is truncated`);
  check(end === fileSize, `${path}: ${fileSize - end} bytes after ${before} belong to no tensor`);
  return { entries, metadata };
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

function parseHeader(path: string, text: string): Record<string, unknown> {
  let header: unknown;
  try {
    header = JSON.parse(text);
  } catch {
    throw new UserError(`${path}: the header is not JSON; this is not a safetensors file, or it is damaged`);
  }
  check(isObject(header), `${path}: the header is not a JSON object; this is not a safetensors file`);
  return header;
}

const isSize = (value: unknown): value is number =>
  typeof value === "number" && Number.isSafeInteger(value) && value >= 0;

function parseEntry(where: string, value: unknown, start: number): TensorEntry {
  check(isObject(value), `${where}: its header entry is not an object`);
  const { dtype: stored, shape, data_offsets: offsets } = value;
  const dtype = typeof stored === "string" ? dtypes.get(stored) : undefined;
  check(
    dtype !== undefined,
    `${where}: dtype ${JSON.stringify(stored)} is not one of ${[...dtypes.keys()].join(", ")}`,
  );
  check(
    Array.isArray(shape) && shape.every(isSize),
    `${where}: shape ${JSON.stringify(shape)} is not a list of sizes ≥ 0`,
  );
  const [begin, end, ...rest] = Array.isArray(offsets) ? (offsets as unknown[]) : [];
  check(
    isSize(begin) && isSize(end) && begin <= end && rest.length === 0,
    `${where}: data_offsets ${JSON.stringify(offsets)} are not [begin, end]`,
  );
  const count = sizeOf(shape);
  const expected = byteLength(dtype, count);
  check(
    Number.isSafeInteger(count) && end - begin === expected,
    `${where}: data_offsets span ${end - begin} bytes; ${dtype}[${shape.join(",")}] takes ${expected}`,
  );
  return { dtype, shape, offset: start + begin, byteLength: expected };
}
