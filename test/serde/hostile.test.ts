import { writeFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import fc from "fast-check";
import { loadModel, parseModel, serializeModel } from "../../src/serde/index.js";
import type { Draft, ModelProto } from "../../src/serde/proto.js";
import { UserError } from "../../src/util/assert.js";
import { bytesOf, floats, info, model, node } from "./models.js";

describe("serde: bad input gives one clear line", () => {
  const refuse = (bytes: Uint8Array, message: RegExp): void => {
    let error: unknown;
    try {
      parseModel(bytes, { file: "bad.onnx" });
    } catch (e) {
      error = e;
    }
    expect(error).to.be.instanceOf(UserError);
    const text = (error as UserError).message;
    expect(text)
      .to.match(message)
      .and.match(/^bad\.onnx: [^\n]*$/);
  };
  const refuseModel = (m: Draft<ModelProto>, message: RegExp): void => refuse(bytesOf(m), message);
  const refuseTensor = (t: object, message: RegExp): void =>
    refuseModel(model({ initializer: [{ name: "w", dataType: 1, ...t }] }), message);

  it("for what is not ONNX", () => {
    const good = bytesOf(model());
    expect(() => parseModel(good)).not.to.throw();
    refuse(new Uint8Array(), /is empty; an ONNX model is expected$/);
    refuse(new TextEncoder().encode("<!doctype html><html>not found</html>"), /not an ONNX model/);
    refuse(good.subarray(0, good.length - 3), /not an ONNX model, or is truncated/);
    refuse(new Uint8Array(100), /not an ONNX model/);
    refuseModel({ irVersion: 10 }, /not an ONNX model: it has no IR version or no graph$/);
    refuseModel(model({}, { irVersion: 99 }), /has IR version 99; versions 3 to 13 are supported/);
  });

  it("for files that cannot be read", () => {
    const folder = mkdtempSync(join(tmpdir(), "curvsam-hostile-"));
    expect(() => loadModel(join(folder, "absent.onnx"))).to.throw(
      UserError,
      /absent\.onnx: cannot be read \(no such file\)$/,
    );
    expect(() => loadModel(folder)).to.throw(UserError, /cannot be read \(EISDIR\)$/);
    writeFileSync(join(folder, "empty.onnx"), "");
    expect(() => loadModel(join(folder, "empty.onnx"))).to.throw(UserError, /empty\.onnx: is empty/);
    rmSync(folder, { recursive: true });
  });

  it("for tensors whose sizes lie", () => {
    refuseTensor(
      { dims: [3], rawData: new Uint8Array(8) },
      /initializer "w" is float32\[3\] with 8 bytes of data; 12 expected$/,
    );
    refuseTensor({ dims: [1e9] }, /with 0 bytes of data; 4000000000 expected$/);
    refuseTensor({ dims: [1e9, 1e9, 1e9] }, /too many elements to exist$/);
    refuseTensor({ dims: [-1] }, /has the dimension -1; dimensions are 0 or more$/);
    refuseTensor({ dims: [0, { low: 0, high: 0x40000000 }] }, /too many elements/);
    refuseTensor(
      { dims: [1], floatData: [1], rawData: new Uint8Array(4) },
      /has elements in floatData beside raw_data$/,
    );
    refuseTensor({ dims: [1], int64Data: [1] }, /is float32\[1\], yet has elements in int64Data$/);
    refuseTensor({ dims: [2], dataType: 8, stringData: [new Uint8Array()] }, /with 1 strings; 2 expected$/);
    refuseTensor({ dims: [1], dataType: 8, rawData: new Uint8Array(1) }, /strings, which cannot be raw data$/);
    refuseTensor(
      { dims: [1], dataType: 99, rawData: new Uint8Array(4) },
      /element type 99, which ONNX does not define$/,
    );
    refuseTensor({ dims: [1], segment: { begin: 0, end: 1 }, floatData: [1] }, /segmented tensors are not supported$/);
    refuseTensor({ dims: [1], dataLocation: 7 }, /unknown data location 7$/);
  });

  it("for types that cannot be", () => {
    refuseModel(model({ input: [info("x", [-5])] }), /"x" has the dimension -5; a size or a symbol is expected$/);
    refuseModel(model({ input: [info("x", [2], 77)] }), /"x" has element type 77/);
  });

  it("for graphs that make no sense", () => {
    const nodes = (...list: Draft<ModelProto["graph"] & object>["node"] & object): Draft<ModelProto> =>
      model({ node: list });
    refuseModel(nodes(node("Add", ["x", "y"], ["y"])), /node Add "y" is part of a cycle: it needs its own output$/);
    refuseModel(
      nodes(node("Neg", ["b"], ["a"]), node("Neg", ["a"], ["b"]), node("Neg", ["b"], ["y"])),
      /is part of a cycle/,
    );
    refuseModel(
      nodes(node("Neg", ["nowhere"], ["y"], { name: "n" })),
      /node Neg "n" reads "nowhere", which nothing defines$/,
    );
    refuseModel(
      nodes(node("Neg", ["x"], ["y"]), node("Abs", ["x"], ["y"])),
      /defines "y", which is defined already; names must be unique$/,
    );
    refuseModel(nodes(node("Neg", ["x"], ["z"])), /output "y" is made by no node$/);
    refuseModel(nodes(node("", ["x"], ["y"])), /has no operator$/);
    refuseModel(model({ initializer: [floats("w", [1, 2]), floats("w", [1, 2])] }), /initializer "w" is there twice$/);
    refuseModel(model({ input: [info("x"), info("x")] }), /an input defines "x", which is defined already/);
    refuseModel(
      model({ initializer: [floats("w", [1, 2]), floats("y", [1, 2])] }),
      /defines "y", which is defined already/,
    );
    const twice = { name: "axis", type: 2, i: 1 };
    refuseModel(nodes(node("Neg", ["x"], ["y"], { attribute: [twice, twice] })), /has the attribute "axis" twice$/);
    refuseModel(nodes(node("Neg", ["x"], ["y"], { attribute: [{ name: "a", type: 44 }] })), /has the type 44/);
    refuseModel(
      nodes(node("Neg", ["x"], ["y"], { attribute: [{ name: "a", type: 4 }] })),
      /attribute "a" has no value$/,
    );
    refuseModel(nodes(node("Neg", ["evil\nname"], ["y"])), /reads "evil\\nname"/);
  });

  it("for graphs nested without end", () => {
    let g: object = { name: "leaf" };
    for (let i = 0; i < 300; i++) g = { node: [node("If", [], [`o${i}`], { attribute: [{ name: "b", type: 5, g }] })] };
    refuseModel(model({ ...g, output: [] }), /nested more than 100 deep$/);
  });

  it("for any damage to a file: an error of ours, or a model", () => {
    const body = { name: "b", node: [node("Abs", ["x"], ["t"])], output: [info("t")], initializer: [floats("k", [1])] };
    const good = bytesOf(
      model(
        {
          node: [
            node("If", ["c"], ["z"], {
              attribute: [
                { name: "then_branch", type: 5, g: body },
                { name: "else_branch", type: 5, g: body },
              ],
            }),
            node("Add", ["z", "w"], ["y"], { attribute: [{ name: "ints", type: 7, ints: [1, -1] }] }),
          ],
          initializer: [floats("w", [1, 2]), { name: "c", dataType: 9, int32Data: [1] }],
        },
        { functions: [{ name: "f", domain: "d", input: ["a"], output: ["b"], node: [node("Neg", ["a"], ["b"])] }] },
      ),
    );
    const edit = fc.record({ at: fc.nat(good.length - 1), byte: fc.nat(255), cut: fc.nat(3), add: fc.nat(2) });
    let parsed = 0;
    const started = Date.now();
    fc.assert(
      fc.property(fc.array(edit, { minLength: 1, maxLength: 4 }), (edits) => {
        const bytes = [...good];
        for (const { at, byte, cut, add } of edits) bytes.splice(at, cut, ...Array<number>(add).fill(byte));
        try {
          serializeModel(parseModel(Uint8Array.from(bytes), { folder: "/nonexistent", file: "bad.onnx" }));
          parsed++;
        } catch (error) {
          if (!(error instanceof UserError)) throw error;
          expect(error.message).to.match(/^bad\.onnx: [^\n]*$/);
        }
      }),
      { numRuns: 3000, seed: 7 },
    );
    expect(parsed).to.be.greaterThan(10);
    expect(Date.now() - started).to.be.lessThan(20_000);
  }).timeout(30_000);
});
