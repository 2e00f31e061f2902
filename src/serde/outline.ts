import { readSync } from "node:fs";
import { readFully } from "../util/files.js";
import { DataLocation, encodeTensor } from "./schema.js";

/** Tensors of fewer bytes are read with the rest of the message. */
const smallest = 1 << 16;

/** Field numbers of ONNX's schema. */
const graphOfModel = 7;
const initializerOfGraph = 5;
const tensor = { rawData: 9, externalData: 13, dataLocation: 14 };

const lengthDelimited = 2;

interface Span {
  start: number;
  end: number;
}
/** A span of the file as it stands, or bytes put in its place. */
type Piece = Span | Uint8Array;

interface Field extends Span {
  number: number;
  wire: number;
  /** Where its content begins: after the tag and, where it has one, the length. */
  body: number;
}

/** What the wire format does not allow, or this reader does not follow: the whole file is read then, which tells what is wrong. */
class Unfollowed extends Error {}

/** Reads bytes of a file at any place, a window at a time. */
class Window {
  private readonly buffer = new Uint8Array(1 << 16);
  private start = 0;
  private length = 0;

  constructor(private readonly fd: number) {}

  byte(at: number): number {
    if (at < this.start || at >= this.start + this.length) {
      this.start = at;
      this.length = readSync(this.fd, this.buffer, 0, this.buffer.byteLength, at);
    }
    const value = this.buffer[at - this.start];
    if (value === undefined || at >= this.start + this.length) throw new Unfollowed();
    return value;
  }

  /** The varint at `at` and where it ends. */
  varint(at: number): [value: number, end: number] {
    let value = 0;
    for (let i = 0; i < 7; i++) {
      const byte = this.byte(at + i);
      value += (byte & 0x7f) * 2 ** (7 * i);
      if (byte < 0x80) return [value, at + i + 1];
    }
    throw new Unfollowed();
  }

  /** Where the varint at `at` ends, however large it is. */
  skipVarint(at: number): number {
    for (let i = 0; i < 10; i++) if (this.byte(at + i) < 0x80) return at + i + 1;
    throw new Unfollowed();
  }
}

function* fieldsOf(window: Window, { start, end }: Span): Generator<Field> {
  for (let at = start; at < end;) {
    const [tag, body] = window.varint(at);
    const field = { number: tag >>> 3, wire: tag & 7, start: at };
    const [first, last] = extent(window, field.wire, body);
    if (last > end) throw new Unfollowed();
    yield { ...field, body: first, end: last };
    at = last;
  }
}

function extent(window: Window, wire: number, at: number): [body: number, end: number] {
  if (wire === 0) return [at, window.skipVarint(at)];
  if (wire === 1) return [at, at + 8];
  if (wire === 5) return [at, at + 4];
  if (wire !== lengthDelimited) throw new Unfollowed();
  const [length, body] = window.varint(at);
  return [body, body + length];
}

function varintBytes(value: number): number[] {
  const bytes: number[] = [];
  for (; value >= 0x80; value = Math.floor(value / 0x80)) bytes.push((value % 0x80) | 0x80);
  return [...bytes, value];
}

const lengthOf = (piece: Piece): number => ("start" in piece ? piece.end - piece.start : piece.byteLength);

/** The message of `field` with `pieces` as its content, tag and length before them. */
function enclose(field: Field, pieces: readonly Piece[]): Piece[] {
  const length = pieces.reduce((sum, piece) => sum + lengthOf(piece), 0);
  return [Uint8Array.from([(field.number << 3) | field.wire, ...varintBytes(length)]), ...pieces];
}

/** The fields of a message, those of number `within` rewritten by `rewrite`. */
function rewriteFields(window: Window, message: Span, within: number, rewrite: (field: Field) => Piece[]): Piece[] {
  const pieces: Piece[] = [];
  for (const field of fieldsOf(window, message)) {
    const rewritten = field.number === within && field.wire === lengthDelimited ? rewrite(field) : [field];
    for (const piece of rewritten) {
      const last = pieces.at(-1);
      if (last && "start" in last && "start" in piece && last.end === piece.start) last.end = piece.end;
      else pieces.push("start" in piece ? { start: piece.start, end: piece.end } : piece);
    }
  }
  return pieces;
}

/** The tensor of `field`, its bytes left in the file where they are many and it has no others. */
function outlineTensor(window: Window, field: Field, location: string): Piece[] {
  if (field.end - field.body < smallest) return [field];
  const fields = [...fieldsOf(window, { start: field.body, end: field.end })];
  const raw = fields.filter(({ number }) => number === tensor.rawData);
  const external = fields.some(({ number }) => number === tensor.externalData || number === tensor.dataLocation);
  const [data] = raw;
  if (!data || raw.length > 1 || external || data.wire !== lengthDelimited || data.end - data.body < smallest) {
    return [field];
  }
  const entries = { location, offset: String(data.body), length: String(data.end - data.body) };
  const reference = encodeTensor({
    dataLocation: DataLocation.EXTERNAL,
    externalData: Object.entries(entries).map(([key, value]) => ({ key, value })),
  });
  const before = { start: field.body, end: data.start };
  const after = { start: data.end, end: field.end };
  return enclose(field, [before, after, reference]);
}

/**
 * The ONNX model in an open file of `size` bytes, as a message whose large initializers are external data of the file itself,
 * called `location`: they need not enter memory. Null where there is nothing to gain, or where the file is not such a message.
 */
export function outlineModel(fd: number, size: number, location: string): Uint8Array | null {
  const window = new Window(fd);
  let pieces: Piece[];
  try {
    pieces = rewriteFields(window, { start: 0, end: size }, graphOfModel, (graph) => {
      const content = { start: graph.body, end: graph.end };
      const outlined = rewriteFields(window, content, initializerOfGraph, (initializer) =>
        outlineTensor(window, initializer, location),
      );
      return enclose(graph, outlined);
    });
  } catch (error) {
    if (error instanceof Unfollowed) return null;
    throw error;
  }
  const message = new Uint8Array(pieces.reduce((sum, piece) => sum + lengthOf(piece), 0));
  let at = 0;
  for (const piece of pieces) {
    const target = message.subarray(at, at + lengthOf(piece));
    if ("start" in piece)
      readFully(fd, target, piece.start, (byte) => `${location}: ends at byte ${byte} while it is read`);
    else target.set(piece);
    at += target.byteLength;
  }
  return message;
}
