import { expect } from "chai";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { int, newModel } from "../../src/ir/graph.js";
import { overwriteUpdates } from "../../src/lower/overwrite.js";
import { serializeModel } from "../../src/serde/index.js";
import { Sketch } from "../support/sketch.js";

/** A step of momentum: m ← m/2 + g, w ← w − m; the gradient g = x · w is finite or not. `late` joins its outputs. */
function step(late: (s: Sketch, w: ReturnType<Sketch["input"]>) => void = () => undefined): Sketch {
  const s = new Sketch();
  const [w, m, x] = [s.input("w", [4]), s.input("m", [4]), s.input("x", [4])];
  const [half, one] = [s.input("half", []), s.input("one", [])];
  const g = s.op("Mul", [x, w], {}, [4]);
  const ok = s.op("IsInf", [s.op("ReduceSum", [g], { keepdims: int(0) }, [])], {}, []);
  const finite = s.op("Not", [ok], {}, []);
  for (const v of [ok, finite]) v.type = { kind: "tensor", dtype: "bool", shape: [] };
  late(s, w);
  s.output(s.op("Sub", [one, s.op("Cast", [finite], { to: int(1) }, [])], {}, []), "skipped");
  const next = s.op("Add", [s.op("Mul", [half, m], {}, [4]), g], {}, [4]);
  s.output(next, "next/m");
  s.output(s.op("Sub", [w, next], {}, [4]), "next/w");
  return s;
}

const names = (s: Sketch): string[] => s.graph.outputs.map(({ name }) => name);

/** Runs the graph with every `over/…` written over its input; what the inputs hold then, and `skipped`. */
async function overwrite(s: Sketch, x: number): Promise<{ w: number[]; m: number[]; skipped: number }> {
  const [w, m] = [Float32Array.of(1, 2, 3, 4), Float32Array.of(8, 8, 8, 8)];
  const vector = (data: Float32Array): Tensor => new Tensor("float32", data, data.length === 1 ? [] : [4]);
  const feeds = { w: vector(w), m: vector(m), x: vector(new Float32Array(4).fill(x)) };
  const scalars = { half: vector(Float32Array.of(0.5)), one: vector(Float32Array.of(1)) };
  const session = await InferenceSession.create(serializeModel(newModel(s.graph)), {
    graphOptimizationLevel: "disabled",
  });
  const results = await session.run({ ...feeds, ...scalars }, { "over/w": feeds.w, "over/m": feeds.m, skipped: null });
  await session.release();
  return { w: [...w], m: [...m], skipped: Number(results["skipped"]?.data[0]) };
}

describe("new values written over the old", () => {
  it("are those of the step, and the old ones where it is not taken", async () => {
    const s = step();
    expect(overwriteUpdates(s.graph).modified).to.equal(true);
    expect(names(s)).to.deep.equal(["skipped", "over/m", "over/w"]);
    expect(await overwrite(s, 2)).to.deep.equal({ w: [-5, -6, -7, -8], m: [6, 8, 10, 12], skipped: 0 });
    expect(await overwrite(s, Infinity)).to.deep.equal({ w: [1, 2, 3, 4], m: [8, 8, 8, 8], skipped: 1 });
  });

  it("are not where something may read the old value later", () => {
    const measured = step((s, w) => s.output(s.op("Abs", [w], {}, [4]), "size"));
    // Nor is m, from whose new value that of w is computed.
    expect(overwriteUpdates(measured.graph).modified).to.equal(false);
    // The new m reads the old w, and whoever writes w need not wait for it.
    const crossed = new Sketch();
    const [w, m, one] = [crossed.input("w", [4]), crossed.input("m", [4]), crossed.input("one", [])];
    const ok = crossed.input("ok", [], "bool");
    crossed.output(crossed.op("Sub", [one, crossed.op("Cast", [ok], { to: int(1) }, [])], {}, []), "skipped");
    crossed.output(crossed.op("Add", [m, w], {}, [4]), "next/m");
    crossed.output(crossed.op("Neg", [w], {}, [4]), "next/w");
    expect(overwriteUpdates(crossed.graph).modified).to.equal(true);
    // Neg is not known to read before it writes.
    expect(names(crossed)).to.deep.equal(["skipped", "over/m", "next/w"]);
  });

  it("are not where something may read a view of the old value later", () => {
    const s = new Sketch();
    const [w, one] = [s.input("w", [4]), s.input("one", [])];
    const view = s.op("Reshape", [w, s.input("shape", [2])], {}, [2, 2]);
    const finite = s.op("Not", [s.op("IsInf", [s.op("ReduceSum", [view], { keepdims: int(0) }, [])])]);
    s.output(s.op("Sub", [one, s.op("Cast", [finite], { to: int(1) }, [])], {}, []), "skipped");
    // The reshape has run when the step is known to be taken; who else reads what it gives need not have.
    s.output(s.op("Sub", [w, one], {}, [4]), "next/w");
    const alone = s.graph.outputs.length;
    s.output(s.op("Abs", [view], {}, [2, 2]), "size");
    expect(overwriteUpdates(s.graph).modified).to.equal(false);
    s.graph.outputs.length = alone;
    s.graph.nodes.pop();
    expect(overwriteUpdates(s.graph).modified).to.equal(true);
  });

  it("are not where the step itself goes on from the new value", () => {
    const s = new Sketch();
    const [h, w, one] = [s.input("h", [4]), s.input("w", [4]), s.input("one", [])];
    const next = s.op("Mul", [h, one], {}, [4]);
    s.output(next, "next/h");
    const finite = s.op("Not", [s.op("IsInf", [s.op("ReduceSum", [next], { keepdims: int(0) }, [])])]);
    s.output(s.op("Sub", [one, s.op("Cast", [finite], { to: int(1) }, [])], {}, []), "skipped");
    s.output(s.op("Sub", [w, next], {}, [4]), "next/w");
    expect(overwriteUpdates(s.graph).modified).to.equal(true);
    expect(names(s)).to.deep.equal(["next/h", "skipped", "over/w"]);
  });

  it("are not where nothing says whether the step is taken", () => {
    const s = new Sketch();
    s.output(s.op("Sub", [s.input("w", [4]), s.input("g", [4])], {}, [4]), "next/w");
    expect(overwriteUpdates(s.graph).modified).to.equal(false);
  });
});
