import { ByteBuffer } from "flatbuffers";
import { UserError } from "../util/assert.js";

/**
 * A table of a flatbuffer, read field by field. Fields are numbered as in the schema, from 0; an absent one reads as its
 * default. Whatever points out of the buffer throws a `UserError` that begins with `where`.
 */
export class Table {
  private constructor(
    private readonly buffer: ByteBuffer,
    private readonly at: number,
    private readonly where: string,
  ) {}

  /** The root table of a whole file. */
  static root(bytes: Uint8Array, where: string): Table {
    const buffer = new ByteBuffer(bytes);
    if (bytes.byteLength < 8) throw new UserError(`${where}: ${bytes.byteLength} bytes; the file is truncated`);
    return new Table(buffer, buffer.readUint32(0), where);
  }

  /** The four letters that say what the file holds. */
  static identifier(bytes: Uint8Array): string {
    return new TextDecoder("latin1").decode(bytes.subarray(4, 8));
  }

  int32(field: number, fallback = 0): number {
    const at = this.field(field, 4);
    return at === 0 ? fallback : this.buffer.readInt32(at);
  }

  int64(field: number, fallback = 0n): bigint {
    const at = this.field(field, 8);
    return at === 0 ? fallback : this.buffer.readInt64(at);
  }

  float32(field: number, fallback = 0): number {
    const at = this.field(field, 4);
    return at === 0 ? fallback : this.buffer.readFloat32(at);
  }

  bool(field: number): boolean {
    const at = this.field(field, 1);
    return at !== 0 && this.buffer.readUint8(at) !== 0;
  }

  string(field: number): string {
    const bytes = this.bytes(field);
    try {
      return new TextDecoder("utf-8", { fatal: true }).decode(bytes ?? new Uint8Array());
    } catch {
      throw new UserError(`${this.where}: a name is not UTF-8; the file is damaged`);
    }
  }

  /** A table that the field points to; null where it is absent. */
  table(field: number): Table | null {
    const at = this.field(field, 4);
    return at === 0 ? null : this.pointed(at);
  }

  /** A vector of tables; empty where it is absent. */
  tables(field: number): Table[] {
    const { start, length } = this.vector(field, 4);
    return Array.from({ length }, (_, i) => this.pointed(start + 4 * i));
  }

  int64s(field: number): bigint[] {
    const { start, length } = this.vector(field, 8);
    return Array.from({ length }, (_, i) => this.buffer.readInt64(start + 8 * i));
  }

  /** The bytes of a vector, as a view of the file; null where it is absent. */
  bytes(field: number): Uint8Array | null {
    if (this.field(field, 4) === 0) return null;
    const { start, length } = this.vector(field, 1);
    return this.buffer.bytes().subarray(start, start + length);
  }

  private pointed(at: number): Table {
    return new Table(this.buffer, this.inside(at + this.buffer.readUint32(at), 4), this.where);
  }

  private vector(field: number, width: number): { start: number; length: number } {
    const at = this.field(field, 4);
    if (at === 0) return { start: 0, length: 0 };
    const head = this.inside(at + this.buffer.readUint32(at), 4);
    const length = this.buffer.readUint32(head);
    return { start: this.inside(head + 4, length * width), length };
  }

  /** Where the field lies, `width` bytes of it; 0 where the table leaves it out. */
  private field(field: number, width: number): number {
    this.inside(this.at, 4);
    const vtable = this.inside(this.at - this.buffer.readInt32(this.at), 4);
    const size = this.buffer.readUint16(vtable);
    const slot = 4 + 2 * field;
    if (slot + 2 > size) return 0;
    const offset = this.buffer.readUint16(this.inside(vtable + slot, 2));
    return offset === 0 ? 0 : this.inside(this.at + offset, width);
  }

  private inside(at: number, width: number): number {
    if (at < 0 || at + width > this.buffer.capacity()) {
      throw new UserError(
        `${this.where}: it points to byte ${at + width} of ${this.buffer.capacity()}; the file is truncated or damaged`,
      );
    }
    return at;
  }
}
