import { expect } from "chai";
import { layoutsOf, matchNames, transpose, type LayerKind, type Matched } from "../../src/format/state_dict.js";

const encoder = [
  "emb.weight",
  "layer.0.dense.weight",
  "layer.0.dense.bias",
  "layer.0.norm.weight",
  "layer.0.norm.bias",
];
const of = (prefix: string): string[] => encoder.map((name) => prefix + name);

describe("names of a state dict", () => {
  const match = (here: string[], there: string[]) => {
    const { pairs, prefix } = matchNames(here, new Set(there));
    return { pairs: Object.fromEntries(pairs), prefix };
  };

  it("equal names go together, and prefixes that one side has", () => {
    expect(match(encoder, encoder).prefix).to.equal(null);
    const head = ["classifier.dense.weight", "classifier.dense.bias"];
    for (const [here, there] of [
      ["bert.", ""],
      ["", "bert."],
      ["roberta.", "model."],
      ["", "module.model."],
    ] as const) {
      const { pairs, prefix } = match([...of(here), ...head], [...of(there), "lm_head.dense.weight"]);
      expect(pairs).to.deep.equal(Object.fromEntries(of(here).map((name, i) => [name, of(there)[i]!])));
      expect(prefix).to.deep.equal({ here: here.slice(0, -1), there: there.slice(0, -1) });
    }
  });

  it("a head never takes the weights of another head, nor of a layer", () => {
    const here = [...encoder, "classifier.dense.weight", "classifier.dense.bias", "classifier.out.weight"];
    const { pairs, prefix } = match(here, [...encoder, "lm_head.dense.weight", "lm_head.dense.bias", "out.weight"]);
    expect(Object.keys(pairs)).to.deep.equal(encoder);
    expect(prefix).to.equal(null);
  });

  it("norms of old checkpoints are called gamma and beta", () => {
    const old = encoder.map((name) => name.replace("norm.weight", "norm.gamma").replace("norm.bias", "norm.beta"));
    expect(Object.values(match(encoder, old).pairs)).to.deep.equal(old);
    const prefixed = match(of("bert."), old);
    expect(Object.values(prefixed.pairs)).to.deep.equal(old);
  });
});

describe("layouts of a state dict", () => {
  const matrix = (name: string, kind: LayerKind, here: number[], there: number[]): Matched => ({
    name,
    kind,
    here,
    there,
  });
  const square = (name: string, kind: LayerKind) => matrix(name, kind, [4, 4], [4, 4]);

  it("oblong matrices tell by their shapes, square ones follow those of their kind", () => {
    for (const kind of ["folded", "product", "addmm"] as const) {
      for (const transposed of [true, false]) {
        const there = transposed ? [6, 4] : [4, 6];
        const { layouts } = layoutsOf([square("a", kind), matrix("b", kind, [4, 6], there), square("c", kind)]);
        expect(layouts.get("a")).to.deep.equal({ transposed, by: "siblings" });
        expect(layouts.get("b")).to.deep.equal({ transposed, by: "shape" });
        expect(layouts.get("c")).to.deep.equal({ transposed, by: "siblings" });
      }
    }
  });

  it("without oblong ones of their kind, square matrices follow their kind of layer, and that is said", () => {
    const { layouts } = layoutsOf([
      ...[square("f", "folded"), square("p", "product"), square("a", "addmm"), square("s", "same")],
      matrix("other", "addmm", [4, 6], [6, 4]),
    ]);
    expect(layouts.get("f")).to.deep.equal({ transposed: true, by: "layer" });
    expect(layouts.get("p")).to.deep.equal({ transposed: true, by: "layer" });
    expect(layouts.get("a")).to.deep.equal({ transposed: true, by: "siblings" });
    expect(layouts.get("s")).to.deep.equal({ transposed: false, by: "shape" });
  });

  it("tells what fits neither way, and oblong matrices that disagree where square ones depend on them", () => {
    const odd = [
      matrix("a", "same", [4, 6], [6, 4]),
      matrix("b", "folded", [4, 6], [6, 5]),
      matrix("c", "folded", [4, 4], [5, 5]),
    ];
    expect(layoutsOf(odd).misfits).to.deep.equal(odd);
    const both = [matrix("a", "folded", [4, 6], [6, 4]), matrix("b", "folded", [4, 6], [4, 6])];
    expect(layoutsOf(both).mixed).to.equal(null);
    expect(layoutsOf([...both, square("c", "folded")]).mixed).to.deep.equal(["b", "a"]);
  });

  it("transposes matrices of any size", () => {
    for (const [rows, columns] of [
      [1, 1],
      [3, 5],
      [33, 70],
    ] as const) {
      const data = Float32Array.from({ length: rows * columns }, (_, i) => i);
      const turned = transpose(data, rows, columns);
      expect(turned[columns > 1 ? rows : 0]).to.equal(columns > 1 ? 1 : 0);
      expect(transpose(turned, columns, rows)).to.deep.equal(data);
    }
  });
});
