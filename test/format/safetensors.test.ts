import { expect } from "chai";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SafetensorsFile, writeSafetensors, type TensorToWrite } from "../../src/format/safetensors.js";
import { UserError } from "../../src/util/assert.js";
import { byteLength, dtypeCodes, type DType } from "../../src/util/dtype.js";

/** A file with that header and `data` bytes of zeros. */
function forged(header: unknown, data: number, pad = 8): Buffer {
  let json = typeof header === "string" ? header : JSON.stringify(header);
  json += " ".repeat((pad - (json.length % pad)) % pad);
  const head = Buffer.alloc(8);
  head.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([head, Buffer.from(json), Buffer.alloc(data)]);
}

describe("safetensors", () => {
  let folder: string;
  let path: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "curvsam-"));
    path = join(folder, "w.safetensors");
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it("reads back what it wrote, in every dtype the format has", () => {
    const unnamed = new Set<DType>(["string", "complex128", "uint4", "int4", "uint2", "int2"]);
    const tensors = (Object.keys(dtypeCodes) as DType[])
      .filter((d) => !unnamed.has(d))
      .map((dtype, i): TensorToWrite => {
        const bytes = Uint8Array.from({ length: byteLength(dtype, 6) }, (_, k) => (17 * i + k) & 255);
        return { name: `t/${dtype}`, dtype, shape: [2, 3], bytes };
      });
    tensors.push({ name: "scalar", dtype: "float32", shape: [], bytes: new Uint8Array(4) });
    tensors.push({ name: "empty", dtype: "int64", shape: [0, 5], bytes: () => new Uint8Array(0) });
    tensors.push({ name: "__proto__", dtype: "uint8", shape: [1], bytes: Uint8Array.of(9) });
    writeSafetensors(path, tensors, { format: "pt" });
    SafetensorsFile.using(path, (file) => {
      expect([...file.entries.keys()]).to.have.members(tensors.map((t) => t.name));
      expect(file.metadata.get("format")).to.equal("pt");
      for (const { name, dtype, shape, bytes } of tensors) {
        const entry = file.entry(name);
        expect(entry.dtype).to.equal(dtype);
        expect(entry.shape).to.deep.equal(shape);
        if (entry.byteLength > 0) expect(entry.offset % Math.max(1, byteLength(dtype, 1)), name).to.equal(0);
        expect(file.bytes(name)).to.deep.equal(typeof bytes === "function" ? bytes() : bytes);
      }
    });
    expect(readFileSync(path).readBigUInt64LE(0) % 8n).to.equal(0n);
  });

  it("gives equal bytes for equal contents, whatever the order", () => {
    const a = { name: "a", dtype: "float32", shape: [1], bytes: new Uint8Array(4) } as const;
    const b = { name: "b", dtype: "float64", shape: [1], bytes: new Uint8Array(8) } as const;
    writeSafetensors(path, [a, b]);
    const first = readFileSync(path);
    writeSafetensors(path, [b, a]);
    expect(readFileSync(path).equals(first)).to.equal(true);
  });

  it("leaves the old file and no other when a tensor fails on the way", () => {
    const good: TensorToWrite = { name: "a", dtype: "uint8", shape: [2], bytes: Uint8Array.of(1, 2) };
    writeSafetensors(path, [good]);
    const bad = { ...good, name: "b", bytes: () => new Uint8Array(3) };
    expect(() => writeSafetensors(path, [good, bad])).to.throw(
      UserError,
      /tensor "b" came with 3 bytes; uint8\[2\] takes 2/,
    );
    expect(SafetensorsFile.using(path, (f) => [...f.bytes("a")])).to.deep.equal([1, 2]);
    expect(readdirSync(folder)).to.deep.equal(["w.safetensors"]);
  });

  it("refuses two tensors of one name, and dtypes without a name", () => {
    const t: TensorToWrite = { name: "a", dtype: "uint8", shape: [1], bytes: new Uint8Array(1) };
    expect(() => writeSafetensors(path, [t, t])).to.throw(UserError, /two tensors are called "a"/);
    expect(() => writeSafetensors(path, [{ ...t, dtype: "int4" }])).to.throw(UserError, /"a" is int4/);
  });

  it("says one clear line when the folder is not there or not a folder", () => {
    const t: TensorToWrite = { name: "a", dtype: "uint8", shape: [1], bytes: new Uint8Array(1) };
    const absent = join(folder, "no", "w.safetensors");
    expect(() => writeSafetensors(absent, [t])).to.throw(UserError, `${absent}: cannot write: no such file or folder`);
    expect(() => new SafetensorsFile(absent)).to.throw(UserError, `${absent}: cannot read: no such file or folder`);
  });

  const one = (offsets: unknown, shape: unknown = [2], dtype: unknown = "F32") => ({
    dtype,
    shape,
    data_offsets: offsets,
  });
  const damaged: [string, Buffer, RegExp][] = [
    ["an empty file", Buffer.alloc(0), /0 bytes are no safetensors file/],
    [
      "a header size of 2^62",
      Buffer.concat([Buffer.alloc(7), Buffer.of(64), Buffer.alloc(8)]),
      /header of 46116\d+ bytes/,
    ],
    ["a header past the end", forged({}, 0).subarray(0, 12), /header ends at byte 16 of 12; the file is truncated/],
    ["a header that is not JSON", forged("{not json", 0), /header is not JSON/],
    ["a header that is a list", forged([1], 0), /header is not a JSON object/],
    [
      "a missing end",
      forged({ a: one([0, 8]) }, 5),
      /tensor "a" ends at byte \d+, the file at byte \d+; the file is trunc/,
    ],
    ["bytes left over", forged({ a: one([0, 8]) }, 9), /1 bytes after tensor "a" belong to no tensor/],
    ["overlap", forged({ a: one([0, 8]), b: one([4, 12]) }, 12), /tensor "b" overlaps tensor "a"/],
    ["a hole", forged({ a: one([0, 8]), b: one([12, 20]) }, 20), /4 bytes before tensor "b" belong to no tensor/],
    ["a shape that lies", forged({ a: one([0, 8], [1000]) }, 8), /span 8 bytes; float32\[1000\] takes 4000/],
    ["a huge shape", forged({ a: one([0, 8], [2 ** 40, 2 ** 40]) }, 8), /span 8 bytes/],
    ["a negative size", forged({ a: one([0, 8], [-2]) }, 8), /shape \[-2\] is not a list of sizes/],
    ["offsets in disorder", forged({ a: one([8, 0]) }, 8), /data_offsets \[8,0\] are not \[begin, end\]/],
    ["a dtype of no one", forged({ a: one([0, 8], [2], "F31") }, 8), /dtype "F31" is not one of BOOL/],
    ["metadata of numbers", forged({ __metadata__: { a: 1 } }, 0), /__metadata__ "a" is not a string/],
  ];
  for (const [what, bytes, message] of damaged) {
    it(`refuses ${what}`, () => {
      writeFileSync(path, bytes);
      expect(() => new SafetensorsFile(path)).to.throw(UserError, message);
    });
  }
});
