import type { ZodObject, ZodType } from "zod";
import type { Layer } from "../curvature/layers.js";
import { Value } from "../ir/graph.js";
import { byteLength } from "../util/dtype.js";
import type { Range } from "../util/range.js";
import { sizeOf } from "../util/shape.js";
import { ascents, bases, combines, refused } from "./compose.js";
import type { ParameterInfo, Part } from "./part.js";
import { hyperNames, hyperOf } from "./schema.js";

export interface OptionEntry {
  name: string;
  /** JSON of the default; null where there is none, and the description says what holds then. */
  default: string | null;
  /** Values that it takes, where they are few. */
  choices: string[];
  description: string;
}

export interface HyperEntry {
  name: string;
  default: number;
  description: string;
  range: Range | null;
  /** Whether it is one at the part's defaults: Shampoo has Adam's only where that is grafted. */
  byDefault: boolean;
}

/** What `curvsam optimizers` says of a part; state and cost are those of its defaults. */
export interface PartEntry {
  kind: "ascent" | "combine" | "base";
  name: string;
  summary: string;
  reference: string;
  options: OptionEntry[];
  hyper: HyperEntry[];
  /** Bytes of state for each parameter, on a matrix of 1024 × 1024. */
  stateBytes: number;
  /** Gradient evaluations that it adds to a step; for a combine rule, the factor of what the ascent adds. */
  gradients: number;
}

/** One weight matrix, for what depends on shapes. */
function exampleParameter(): ParameterInfo {
  const shape = [1024, 1024];
  const [input, output] = [new Value("x", null), new Value("y", null)];
  const rest = { weight: "w", bias: null, outputsFirst: false, window: null };
  const layer: Layer = { kind: "linear", ...rest, input, output, inputs: 1024, outputs: 1024 };
  return { name: "w", shape, group: "default", role: "matmul", layer };
}

function entry(kind: PartEntry["kind"], part: Part<ZodObject>): PartEntry {
  const defaults = part.options.parse({});
  const numbers = hyperNames(part.options);
  const atDefaults = part.hyper(defaults).map((h) => h.name);
  const p = exampleParameter();
  const bytes = part.state(defaults).tensors.reduce((sum, t) => {
    const shape = t.shape ? t.shape(p) : p.shape;
    return shape ? sum + byteLength(t.dtype ?? "float32", sizeOf(shape)) : sum;
  }, 0);
  return {
    ...{ kind, name: part.name, summary: part.summary, reference: part.reference },
    options: Object.entries(part.options.shape).flatMap(([name, field]) => {
      if (numbers.includes(name)) return [];
      const description = (field as ZodType).description ?? "";
      const value = defaults[name];
      return [
        { name, default: value === undefined ? null : JSON.stringify(value), choices: choicesOf(field), description },
      ];
    }),
    hyper: hyperOf(part.options, defaults).map((h) => ({
      ...{ name: h.name, default: h.default, description: h.description, range: h.range ?? null },
      byDefault: atDefaults.includes(h.name),
    })),
    stateBytes: bytes / sizeOf(p.shape),
    gradients: part.gradients?.(defaults) ?? (kind === "combine" ? 1 : 0),
  };
}

function choicesOf(field: unknown): string[] {
  const inner = (field as { unwrap?: () => unknown }).unwrap?.() ?? field;
  const options = (inner as { options?: unknown }).options;
  return Array.isArray(options) ? options.map(String) : [];
}

export interface Catalogue {
  parts: PartEntry[];
  /** Combinations that have no meaning, and why. */
  refused: readonly { ascent?: string; combine?: string; base?: string; why: string }[];
}

/** Every ascent, combine rule and base. */
export const catalogue = (): Catalogue => ({
  parts: [
    ...ascents.map((part) => entry("ascent", part)),
    ...combines.map((part) => entry("combine", part)),
    ...bases.map((part) => entry("base", part)),
  ],
  refused,
});
