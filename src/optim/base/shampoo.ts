import { z } from "zod";
import { tensorType, type Value } from "../../ir/graph.js";
import * as e from "../../ops/emit.js";
import type { RuleBuilder } from "../../ops/rule.js";
import { must } from "../../util/assert.js";
import { allFinite, at, guardedRatio, mapParams, oneMinus, sumSquares } from "../arithmetic.js";
import { computedIn, inverseRoot, shifted } from "../linalg.js";
import { momentFields, moments, momentState } from "../moments.js";
import type { Base, Params, ParameterInfo, State, StepContext } from "../part.js";
import { hyper, hyperOf, ranges } from "../schema.js";
import { momentumFields, sgd } from "./sgd.js";

const options = z.object({
  block: z.int().positive().default(192).describe("largest side of a block"),
  grafting: z.enum(["sgd", "adam", "none"]).default("sgd").describe("whose step length each tensor takes"),
  statistics: z.int().positive().default(10).describe("steps between statistics"),
  roots: z.int().positive().default(100).describe("steps between inverse roots"),
  start: z
    .int()
    .positive()
    .optional()
    .describe("the step before which the first roots are computed; as roots by default"),
  precision: z.enum(["float64", "float32"]).default("float64").describe("dtype of the iteration for the roots"),
  nesterov: z.boolean().default(false).describe("look ahead along the momentum (needs momentum)"),
  lr: hyper(0.01, "learning rate η", ranges.rate),
  weight_decay: hyper(0, "decoupled weight decay λ", ranges.decay),
  ...momentumFields,
  ...momentFields,
  shampoo_decay: hyper(1, "weight γ of the past in the statistics; 1 sums them", {
    min: 0,
    max: 1,
    reason: "it is the weight of the past",
  }),
  shampoo_eps: hyper(1e-12, "multiple ε of the identity in the statistics", ranges.stabilizer),
  shampoo_ridge: hyper(1e-6, "the same, as a share of the largest eigenvalue", ranges.stabilizer),
});

type Options = z.output<typeof options>;

/** What SGD, which takes the step where Adam is not grafted, reads of the options. */
const sgdOptions = (o: Options) => ({ ...o, decoupled: true });

const hyperOfShampoo = ["shampoo_decay", "shampoo_eps", "shampoo_ridge"] as const;

/** How a tensor is cut: `down × across` blocks of [height, width], the last ones padded with zeros. */
interface Blocks {
  rows: number;
  columns: number;
  down: number;
  across: number;
  height: number;
  width: number;
}

/** The blocks of a tensor as the matrix [first axis, the others], axes of 1 aside; null for vectors. */
function blocksOf({ shape }: ParameterInfo, limit: number): Blocks | null {
  const [rows = 1, ...rest] = shape.filter((d) => d !== 1);
  if (rest.length === 0) return null;
  const columns = rest.reduce((n, d) => n * d, 1);
  const [down, across] = [Math.ceil(rows / limit), Math.ceil(columns / limit)];
  return { rows, columns, down, across, height: Math.ceil(rows / down), width: Math.ceil(columns / across) };
}

/** x as [blocks, height, width]. */
function split(b: RuleBuilder, x: Value, { rows, columns, down, across, height, width }: Blocks): Value {
  const [high, wide] = [down * height, across * width];
  let matrix = e.reshape(b, x, [rows, columns]);
  if (high > rows || wide > columns) {
    const zero = b.int64s([0]);
    const after = [b.int64s([high - rows]), b.int64s([wide - columns])];
    matrix = e.pad(b, matrix, [zero, zero], after, [0, 1], tensorType(x.dtype, [high, wide]));
  }
  const cut = e.transpose(b, e.reshape(b, matrix, [down, height, across, width]), [0, 2, 1, 3]);
  return e.reshape(b, cut, [down * across, height, width]);
}

/** The way back of `split`, to the shape of `like`. */
function join(b: RuleBuilder, x: Value, { rows, columns, down, across, height, width }: Blocks, like: Value): Value {
  const grid = e.transpose(b, e.reshape(b, x, [down, across, height, width]), [0, 2, 1, 3]);
  let matrix = e.reshape(b, grid, [down * height, across * width]);
  if (down * height > rows || across * width > columns) {
    const type = tensorType(x.dtype, [rows, columns]);
    matrix = e.slice(b, matrix, b.int64s([0, 0]), b.int64s([rows, columns]), [0, 1], type);
  }
  return e.reshape(b, matrix, like.dims);
}

const kind = (s: State, name: string): Params => must(s.tensors.get(name), name);

/** Statistics and roots of each side, one matrix a block. */
const sides = [
  { statistics: "shampoo_l", roots: "shampoo_pl", size: (k: Blocks) => k.height },
  { statistics: "shampoo_r", roots: "shampoo_pr", size: (k: Blocks) => k.width },
] as const;

/** P_L G P_R block by block. */
function preconditioned({ b, parameters }: StepContext, o: Options, g: Value, name: string, s: State): Value | null {
  const blocks = blocksOf(must(parameters.get(name), name), o.block);
  if (!blocks) return null;
  const left = e.matmul(b, at(kind(s, "shampoo_pl"), name), split(b, g, blocks));
  return join(b, e.matmul(b, left, at(kind(s, "shampoo_pr"), name)), blocks, g);
}

/** `direction` with the length of `graft`, tensor by tensor; 0 where its own length is. */
const grafted = (b: RuleBuilder, direction: Value, graft: Value): Value =>
  e.mul(b, direction, guardedRatio(b, e.sqrt(b, sumSquares(b, graft)), e.sqrt(b, sumSquares(b, direction))));

/** The eigenvalues below this share of the largest are not told apart, by what each dtype can do. */
const floors = { float64: 1e-8, float32: 1e-4 } as const;

/**
 * For a tensor as a matrix G, in blocks of at most `block`:
 *
 *   L ← γ L + s G Gᵀ,  R ← γ R + s Gᵀ G   every `statistics` steps; s = 1 for γ = 1 (the paper's sum), else 1 − γ
 *   P_L = (L + εI)^(−1/4),  P_R = (R + εI)^(−1/4)   every `roots` steps
 *   U = P_L G P_R;   w ← (1 − η λ) w − η U ‖D‖/‖U‖,   D the direction of the grafted optimizer
 *
 * Gupta, Koren & Singer 2018, Algorithm 1; blocks, grafting and lazy roots: Anil et al. 2020. Tensors of more than two axes
 * are the matrix of their first axis against the others (kernels: outputs × patch), so every order k is 2. Vectors take
 * the grafted optimizer's step. Grafting sgd: D = g, with momentum behind it; adam: D = m̂/(√v̂ + ϵ), and m̂ is
 * preconditioned instead of g; none: U as it is.
 * Ours: the roots at step t are those of the statistics before it, since they are computed without a batch; until the
 * first ones P = I. To ε comes a share of the largest eigenvalue (`ridge`; at least 1e-4 in float32). Decay is decoupled.
 */
export const shampoo: Base<typeof options> = {
  name: "shampoo",
  summary: "steps preconditioned from both sides of each matrix, with the length of SGD's or Adam's",
  reference: "Gupta, Koren & Singer 2018, Shampoo: Preconditioned Stochastic Tensor Optimization",
  options,
  check: (o) =>
    o.momentum > 0 && o.grafting === "adam"
      ? "grafting adam keeps a mean of the gradient of its own; leave momentum off, or graft sgd"
      : (sgd.check?.(sgdOptions(o)) ?? null),
  hyper: (o) => {
    const moments = ["beta1", "beta2", "eps"] as const;
    const momentum = o.momentum > 0 ? (["momentum", "dampening"] as const) : [];
    return hyperOf(options, o, [
      ...(["lr", "weight_decay"] as const),
      ...(o.grafting === "adam" ? moments : momentum),
      ...hyperOfShampoo,
    ]);
  },
  state: (o) => {
    const own = sides.flatMap(({ statistics, roots, size }) => {
      const shape = (p: ParameterInfo): number[] | null => {
        const blocks = blocksOf(p, o.block);
        return blocks && [blocks.down * blocks.across, size(blocks), size(blocks)];
      };
      return [
        { kind: statistics, fill: 0, shape },
        { kind: roots, fill: 1, identity: true as const, shape },
      ];
    });
    const grafts = o.grafting === "adam" ? momentState() : sgd.state(sgdOptions(o));
    return { tensors: [...own, ...grafts.tensors], scalars: grafts.scalars };
  },
  curvature: (o) => ({
    estimator: "shampoo",
    frequency: o.statistics,
    refresh: ({ b, parameters, hyper: value }, _, m, s) => {
      const gamma = value("shampoo_decay");
      const one = e.scalarLike(b, 1, gamma);
      const share = e.where(b, e.equal(b, gamma, one), one, e.sub(b, one, gamma));
      const products = sides.map(({ statistics }) => [statistics, new Map<string, Value>()] as const);
      for (const [name, g] of m.gradient()) {
        const blocks = blocksOf(must(parameters.get(name), name), o.block);
        if (!blocks) continue;
        const x = split(b, g, blocks);
        const turned = e.transposeLast(b, x);
        for (const [side, next] of products) {
          const product = side === "shampoo_l" ? e.matmul(b, x, turned) : e.matmul(b, turned, x);
          next.set(name, e.add(b, e.mul(b, gamma, at(kind(s, side), name)), e.mul(b, share, product)));
        }
      }
      return { next: { tensors: new Map(products), scalars: new Map() }, diagnostics: new Map() };
    },
  }),
  refreshes: (o) => [
    {
      name: "shampoo_roots",
      every: () => o.roots,
      offset: () => o.start ?? o.roots,
      emit: ({ b, hyper: value }, _, s) => {
        const floor = floors[o.precision];
        const ridge = e.max(b, value("shampoo_ridge"), b.scalar(o.precision === "float64" ? 0 : floor));
        const epsilon = e.cast(b, value("shampoo_eps"), o.precision);
        const root = (x: Value): Value =>
          computedIn(b, o.precision, x, (v) => inverseRoot(b, shifted(b, v, epsilon), 4, { floor, ridge }));
        const renewed = sides.map(({ statistics, roots }) => {
          const next = mapParams(kind(s, roots), (old, name) => {
            const fresh = root(at(kind(s, statistics), name));
            return e.where(b, allFinite(b, new Map([[name, fresh]])), fresh, old);
          });
          return [roots, next] as const;
        });
        return { tensors: new Map(renewed), scalars: new Map() };
      },
    },
  ],
  descend: (c, o, w, g, s) => {
    const { b, hyper: value } = c;
    if (o.grafting !== "adam") {
      const direction = mapParams(g, (x, name) => {
        const u = preconditioned(c, o, x, name, s);
        return u && o.grafting === "sgd" ? grafted(b, u, x) : (u ?? x);
      });
      return sgd.descend(c, sgdOptions(o), w, direction, s);
    }
    const { m, c1, root, denominator, state } = moments(c, g, s);
    const next = mapParams(w, (x, name) => {
      const mean = e.div(b, at(m, name), c1);
      const adam = e.div(b, e.mul(b, root, mean), denominator(name));
      const u = preconditioned(c, o, mean, name, s);
      const rate = value("lr", name);
      const kept = e.mul(b, x, oneMinus(b, e.mul(b, rate, value("weight_decay", name))));
      return e.sub(b, kept, e.mul(b, rate, u ? grafted(b, u, adam) : adam));
    });
    return { next, state };
  },
};
