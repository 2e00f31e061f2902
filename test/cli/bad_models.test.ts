import { expect } from "chai";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { Graph, Node, Value, int, newModel, string, tensorType, type Model } from "../../src/ir/graph.js";
import { Tensor } from "../../src/ir/tensor.js";
import { checkModel } from "../../src/pack/check.js";
import { saveModel } from "../../src/serde/index.js";
import { UserError } from "../../src/util/assert.js";
import type { DType } from "../../src/util/dtype.js";
import { artifactOf } from "../support/artifacts.js";
import { curvsamHere } from "../support/cli.js";
import { temporaryFolder } from "../support/temp.js";

const value = (name: string, dtype: DType | null = null, shape: readonly (number | string)[] = ["n", 3]): Value =>
  new Value(name, dtype && tensorType(dtype, shape));

/** h = x w, then the nodes that `rest` makes of h; the last one's output, of type `dtype`, is the model's. */
function model(rest: (h: Value, constant: (data: Tensor) => Value) => Node[], dtype: DType = "float32"): Model {
  const graph = new Graph("g");
  const [x, h] = [value("x", "float32", ["n", 4]), value("h")];
  const constant = (data: Tensor): Value => {
    const made = value(`c${graph.initializers.size}`, data.dtype, data.dims);
    graph.initializers.set(made, data);
    return made;
  };
  const w = constant(Tensor.of("float32", [4, 3], Array<number>(12).fill(1)));
  graph.inputs = [x];
  graph.nodes = [node("MatMul", "fc", [x, w], h), ...rest(h, constant)];
  graph.outputs = [graph.nodes.at(-1)!.output()];
  graph.outputs[0]!.type = tensorType(dtype, ["n", 3]);
  return newModel(graph);
}

const node = (
  op: string,
  name: string,
  inputs: (Value | null)[],
  output = value("y"),
  more: Partial<Node> = {},
): Node => new Node(op, inputs, [output], more.attributes ?? {}, more.bodies ?? {}, more.domain ?? "", name);

const castTo = (to: number) => ({ attributes: { to: int(to) } });

/** The output is `dtype`, cast in node "to_it". */
const castAtEnd = (to: number, dtype: DType): Model =>
  model((h) => [node("Cast", "to_it", [h], value("y"), castTo(to))], dtype);

/** The only way to the output is by another type. */
const castOnTheWay = (to: number): Model =>
  model((h) => {
    const other = value("other");
    return [node("Cast", "to_it", [h], other, castTo(to)), node("Cast", "back", [other], value("y"), castTo(1))];
  });

function scatter(op: "ScatterElements" | "ScatterND", reduction: string): Model {
  return model((h, constant) => {
    const dims = op === "ScatterND" ? [2, 1] : [2, 3];
    const zeros = constant(Tensor.of("int64", dims, Array<number>(dims[0]! * dims[1]!).fill(0)));
    const ones = constant(Tensor.of("float32", [2, 3], Array<number>(6).fill(1)));
    return [node(op, "scatter", [h, zeros, ones], value("y"), { attributes: { reduction: string(reduction) } })];
  });
}

const of = (nodes: Node[], inputs: Value[], outputs: Value[]): Graph =>
  Object.assign(new Graph("body"), { nodes, inputs, outputs });

/** An If between Relu and what `other` makes. */
function branches(other: (h: Value, out: Value) => Node[], dtype: DType): Model {
  const condition = value("condition", "bool", []);
  const made = model((h) => {
    const [t, e] = [new Value("t", tensorType("float32", null)), new Value("e", tensorType(dtype, null))];
    const bodies = {
      then_branch: of([node("Relu", "relu", [h], t)], [], [t]),
      else_branch: of(other(h, e), [], [e]),
    };
    return [node("If", "branch", [condition], value("y"), { bodies })];
  });
  made.graph.inputs.push(condition);
  return made;
}

/** Nothing is said of the shape of the output. */
function unranked(made: Model): Model {
  made.graph.outputs[0]!.type = tensorType("float32", null);
  return made;
}

const endless = (): Model =>
  model((h) => {
    const [i, going, s] = [value("i", "int64", []), value("going", "bool", []), value("s", "float32")];
    const [still, next] = [value("still", "bool", []), value("next", "float32")];
    const body = of(
      [node("Identity", "keep", [going], still), node("Tanh", "tanh", [s], next)],
      [i, going, s],
      [still, next],
    );
    return [node("Loop", "over", [null, null, h], value("y"), { bodies: { body } })];
  });

function at(made: Model, domain: string, version: number): Model {
  made.opsets.set(domain, version);
  return made;
}

const relu = (): Model => model((h) => [node("Relu", "relu", [h])]);
const [int64, text, float16] = [7, 8, 10];

/** What `check` finds at fault: its error, or where derivatives end. */
async function findings(file: string): Promise<string> {
  try {
    const { differentiable, ends } = await checkModel(file);
    expect(differentiable).to.equal(false);
    return ends.join();
  } catch (error) {
    expect(error).to.be.instanceOf(UserError);
    return `curvsam: ${(error as Error).message}`;
  }
}

/** Models that cannot be trained, and what both `check` and `patch` must say of them: the node, and why. */
const cases: Readonly<Record<string, [make: () => Model, says: RegExp]>> = {
  "an integer output": [() => castAtEnd(int64, "int64"), /Cast "to_it".* int64/],
  "a string output": [() => castAtEnd(text, "string"), /Cast "to_it".* string/],
  "an integer on the way": [() => castOnTheWay(int64), /Cast "to_it" \(which gives int64\)/],
  "a string on the way": [() => castOnTheWay(text), /Cast "to_it" \(which gives string\)/],
  "an operator of an unknown domain": [
    () =>
      at(
        model((h) => [node("Frob", "frob", [h], value("y"), { domain: "com.acme" })]),
        "com.acme",
        1,
      ),
    /com\.acme::Frob "frob": nothing is known of the domain/,
  ],
  "an unknown operator": [
    () => model((h) => [node("Frob", "frob", [h])]),
    /: Frob "frob": ONNX Runtime has no such operator; export it/,
  ],
  "an unknown operator of ONNX Runtime's": [
    () =>
      at(
        model((h) => [node("Frob", "frob", [h], value("y"), { domain: "com.microsoft" })]),
        "com.microsoft",
        1,
      ),
    /: com\.microsoft::Frob "frob": ONNX Runtime has no such operator; export it/,
  ],
  "an opset from the future": [() => at(relu(), "", 99), /the model is of opset 99; 6 to \d+ can be read/],
  "a domain's version from the future": [
    () => at(relu(), "com.microsoft", 9),
    /: the model is of version 9 of the domain "com\.microsoft"; ONNX Runtime knows it up to 1: export/,
  ],
  "an If whose branches differ in type": [
    () => branches((h, out) => [node("Cast", "cast", [h], out, castTo(int64))], "int64"),
    /If "branch": output 0 is float32 in then_branch.*int64 in else_branch/,
  ],
  "an If whose branches differ in rank": [
    () =>
      unranked(
        branches((h, out) => [node("ReduceSum", "sum", [h], out, { attributes: { keepdims: int(0) } })], "float32"),
      ),
    /output "y": its rank is not known, since If "branch" gives different ranks in its branches; make them agree/,
  ],
  "an output of halves": [() => castAtEnd(float16, "float16"), /output "y" of Cast "to_it" is float16; training needs/],
  "a Loop without a bound": [endless, /Loop "over" has neither a trip count nor a condition/],
  "overwriting places twice": [
    () => scatter("ScatterND", "none"),
    /ScatterND "scatter": its indices name place \[0\] more than once/,
  ],
  "overwriting elements twice": [
    () => scatter("ScatterElements", "none"),
    /ScatterElements "scatter": its indices name place \[0, 0\] more than once/,
  ],
  "a reduction that is not known": [
    () => scatter("ScatterElements", "median"),
    /ScatterElements "scatter": reduction "median" is not known; none, add, mul, max, min are/,
  ],
};

describe("models that cannot be trained", () => {
  const folder = temporaryFolder();
  const { training } = artifactOf("l1");

  for (const [what, [make, says]] of Object.entries(cases))
    it(`${what}: one line`, async () => {
      const [file, out] = [join(folder.path, "bad.onnx"), join(folder.path, "out")];
      saveModel(make(), file);
      const { code, stdout, stderr } = await curvsamHere(["patch", file, "-o", out, "--loss", "mse"]);
      expect(stderr)
        .to.match(/^curvsam: [^\n]+\n$/)
        .and.match(says);
      expect([code, stdout, existsSync(out)]).to.deep.equal([1, "", false]);
      expect(await findings(file)).to.match(says);
    });

  it("training artifacts without their checkpoint: one line, and the same of check", async () => {
    const out = join(folder.path, "artifact");
    for (const args of [
      ["patch", training, "-o", out],
      ["check", training],
    ]) {
      const { code, stdout, stderr } = await curvsamHere([...args]);
      expect(stderr).to.match(
        /^curvsam: [^\n]+training_model\.onnx: a training model of ONNX Runtime, whose --checkpoint is missing[^\n]+\n$/,
      );
      expect([code, stdout, existsSync(out)]).to.deep.equal([1, "", false]);
    }
  });

  it("what adds at one place twice is none", async () => {
    const file = join(folder.path, "adds.onnx");
    saveModel(scatter("ScatterND", "add"), file);
    expect((await checkModel(file)).differentiable).to.equal(true);
  });

  for (const [what, other, says] of [
    ["a checkpoint that is not there", join(folder.path, "absent"), /absent: cannot read: no such file or folder/],
    ["the checkpoint of another model", artifactOf("vit").checkpoint, /vit.*checkpoint: it holds no parameter "[^"]+"/],
    ["no checkpoint, but a model", training, /training_model\.onnx: not a checkpoint/],
  ] as const)
    it(`training artifacts with ${what}: one line`, async () => {
      const out = join(folder.path, "artifact");
      const { code, stdout, stderr } = await curvsamHere(["patch", training, "--checkpoint", other, "-o", out]);
      expect(stderr)
        .to.match(/^curvsam: [^\n]+\n$/)
        .and.match(says);
      expect([code, stdout, existsSync(out)]).to.deep.equal([1, "", false]);
    });
});
