import { expect } from "chai";
import { findSource } from "../../src/frontend/source.js";
import { catalogue, type PartEntry } from "../../src/optim/catalogue.js";
import { compose } from "../../src/optim/compose.js";
import { withPreset } from "../../src/optim/presets.js";
import { must } from "../../src/util/assert.js";
import { array, type Array64 } from "../reference/array.js";
import { norm, zip, type Vectors } from "../reference/optimizers.js";
import { follow, type Net } from "../support/follow.js";
import { threeLayers, threeLayersBatch } from "../support/three_layers.js";

const rows = 4;
const drawn = (f: (i: number) => number): Array64 =>
  array(
    "float32",
    [rows, 2],
    Array.from({ length: 2 * rows }, (_, i) => f(i)),
  );
const net: Net = {
  source: findSource(threeLayers(), {
    loss: { kind: "mse" },
    group: (name) => (name.endsWith("bias") ? "biases" : "default"),
  }),
  batch: (t) => ({
    ...threeLayersBatch(t, (i) => (i * i + 3 * t) % 7),
    "random/labels": drawn((i) => 1.3 * Math.sin(2.7 * i + t)),
    "random/signs": drawn((i) => (Math.sin(1.9 * i + t) > 0 ? 1 : -1)),
    "random/base_labels": drawn((i) => 1.4 * Math.sin(5 * i + 2 * t)),
  }),
};

/** Every hyper-parameter, at another value than its default. */
const hyper: Record<string, number> = {
  ...{ lr: 0.03, rho: 0.1, eta: 0.02, beta: 0.8, delta: 0.2, alpha: 0.3, rho_min: 0.02, lr_max: 0.08, lr_min: 0.02 },
  ...{ momentum: 0.7, dampening: 0.2, weight_decay: 0.05, beta1: 0.8, beta2: 0.9, eps: 0.05, others_lr: 0.02 },
  ...{ shampoo_decay: 0.9, shampoo_eps: 1e-4, shampoo_ridge: 1e-5, kfac_damping: 0.1, kfac_decay: 0.7 },
};

/** Values of the options that are numbers; the others' are all of their choices. */
const numbers: Record<string, unknown[]> = {
  ...{ frequency: [2, 3], probes: [1, 3], share: [0.4, 1], period: [2, 3], hessian_power: [0.5, 0], limit: [13, 99] },
  ...{ block: [4, 5], statistics: [1, 2], roots: [2, 3], start: [2, 3], factors: [2, 3], inverses: [2, 3] },
};
const valuesOf = ({ name, default: fallback, choices }: PartEntry["options"][number]): unknown[] => {
  if (choices.length > 0) return choices;
  if (fallback === "true" || fallback === "false") return [true, false];
  return must(numbers[name], `values of the option "${name}"`);
};

/** What an option needs beside it to matter in ten steps. */
const beside: Record<string, Record<string, unknown>> = {
  sgd: { momentum: hyper["momentum"] },
  sassha: { frequency: 2 },
  shampoo: { block: 5, statistics: 1, roots: 2, start: 1, momentum: hyper["momentum"] },
  kfac: { factors: 2, inverses: 3, momentum: hyper["momentum"] },
  curvsam: { frequency: 3 },
};
const alone: Record<string, Record<string, unknown>> = {
  "shampoo.grafting.adam": { momentum: 0 },
  "shampoo.start": { roots: 4 },
  "curvsam.floor": { initial: "zero" },
};
/** Options that change what is drawn, or what is kept, and no step. */
const silent = ["probe", "keep_scale"];
/** Float32 roots and inverses are iterated to less. */
const bounds: Record<string, number> = { 'precision "float32"': 1e-5 };

/** The weights after ten steps of `part` with these options, over SGD or under SAM. */
function run(part: PartEntry, options: Record<string, unknown>, bound: number | undefined): Vectors {
  const of = (kind: PartEntry["kind"]): Record<string, unknown> => (part.kind === kind ? options : {});
  const optimizer = compose(part.kind === "ascent" ? part.name : "sam", part.kind === "base" ? part.name : "sgd", {
    ascent: of("ascent"),
    ...(part.kind === "combine" && { combine: part.name, combineOptions: options }),
    base: of("base"),
  });
  return follow(net, optimizer, hyper, bound);
}

describe("every option of every part, 10 steps in float64 as its reference", () => {
  const { parts } = catalogue();
  for (const part of parts) {
    for (const option of part.options) {
      it(`${part.name}: ${option.name} of ${valuesOf(option).map(String).join(", ")}`, () => {
        const key = `${part.name}.${option.name}`;
        const ends = valuesOf(option).map((value) => {
          const more = { ...alone[key], ...alone[`${key}.${String(value)}`] };
          const options = { ...beside[part.name], ...more, [option.name]: value };
          return run(part, options, bounds[`${option.name} ${JSON.stringify(value)}`]);
        });
        for (const [i, one] of ends.entries()) {
          for (const other of ends.slice(0, i)) {
            const apart = norm(zip((x, y) => x - y, one, other));
            if (silent.includes(option.name)) expect(apart).to.be.below(1e-7);
            else expect(apart).to.be.above(1e-6);
          }
        }
      });
    }
  }

  it("CurvSAM's fast preset, whose options go together", () => {
    const { options, hyper: own } = withPreset("fast", "curvsam", { frequency: 3 }, {});
    follow(net, compose("curvsam", "adamw", { ascent: options }), { ...hyper, ...own });
  });

  it("is under hyper-parameters that are none of them at their defaults", () => {
    for (const { name, hyper: own } of parts) {
      for (const h of own) expect(hyper[h.name], `${name}.${h.name}`).to.be.a("number").that.does.not.equal(h.default);
    }
  });
});
