import { readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { UserError, check } from "../util/assert.js";
import { dtypeCodes, type DType } from "../util/dtype.js";
import { onFile, writeFileAtomically } from "../util/files.js";

/**
 * manifest.json of a training package, version 1. The format grows only by addition: a reader ignores keys that it does
 * not know, and every key added after the first release has a default. Keys of `parameters`, `state`, `hyper` and
 * `random` are the names of graph inputs, in full (`hyper/lr`, `z/encoder.weight`).
 */
export const manifestFormat = "curvsam-training-package";
export const manifestVersion = 1;
export const manifestFile = "manifest.json";
export const weightsFile = "weights.safetensors";

const dtype = z.enum(Object.keys(dtypeCodes) as [DType, ...DType[]]);
const size = z.int().nonnegative();
const shape = z.array(
  z.union([size, z.string().min(1)], { error: "expected sizes ≥ 0 or names of dynamic dimensions" }),
);
const fileName = z.string().regex(/^[^/\\]+$/, "expected the name of a file in the package's own folder");

/** A tensor that crosses the border of a graph; strings in `shape` are dynamic dimensions, equal names equal sizes. */
const port = z.object({ dtype, shape });

/** Where a hyper-parameter may lie, and why. */
const range = z.object({
  min: z.number().optional(),
  above: z.number().optional(),
  max: z.number().optional(),
  below: z.number().optional(),
  reason: z.string(),
});

/** A graph that runs at some steps. */
const period = z.object({ graph: z.string(), every: z.int().positive(), offset: z.int() });

const manifestSchema = z.object({
  format: z.literal(manifestFormat),
  version: z.literal(manifestVersion),
  /** Name and version of the program that wrote the package. */
  tool: z.string(),
  source: z.object({ file: z.string(), sha256: z.string(), irVersion: z.int(), opset: z.int() }),
  opset: z.int(),
  irVersion: z.int(),
  /** What training graphs compute in: `mixed` is float16 for products, with float32 parameters and state. */
  precision: z.enum(["float32", "mixed"]).default("float32"),
  /** `kind` is cross-entropy, soft-cross-entropy (labels are probabilities), mse, bce-with-logits or output; what else a loss has (label smoothing, …) stands beside. */
  loss: z.looseObject({ kind: z.string(), logits: z.string().optional(), output: z.string().optional() }),
  optimizer: z.looseObject({
    ascent: z.string(),
    combine: z.string(),
    base: z.string(),
    /** null where the optimizer has no curvature. */
    estimator: z.string().nullable(),
    /** Curvature is refreshed every so many steps. */
    frequency: z.int().positive(),
    /** The options that shape the graphs, by the name of the part. */
    parts: z.record(z.string(), z.record(z.string(), z.json())).optional(),
  }),
  /** Inputs of the model; `source` is the name in the source model, where it had to change. */
  inputs: z.record(z.string(), port.extend({ source: z.string().optional() })),
  /** What the loss compares with, usually `labels`; empty where the model computes its own loss. */
  targets: z.record(z.string(), port).default({}),
  outputs: z.record(z.string(), port),
  parameters: z.record(
    z.string(),
    z.object({
      /** The source model's initializer. */
      initializer: z.string(),
      /** Whether the source model holds it transposed. */
      transposed: z.boolean(),
      dtype,
      shape: z.array(size),
      group: z.string(),
      trainable: z.boolean(),
    }),
  ),
  state: z.record(
    z.string(),
    z.object({
      dtype,
      shape: z.array(size),
      /** `identity`: zeros with this number on the diagonal of the last two axes. */
      init: z.union(
        [
          z.strictObject({ fill: z.number() }),
          z.strictObject({ tensor: z.string() }),
          z.strictObject({ identity: z.number() }),
        ],
        { error: 'expected {"fill": number}, {"tensor": name in weights.safetensors} or {"identity": number}' },
      ),
    }),
  ),
  hyper: z.record(
    z.string(),
    z.object({
      default: z.number(),
      description: z.string(),
      range: range.optional(),
      /** The hyper-parameter that it equals, before schedules, where nothing else is said. */
      follows: z.string().optional(),
    }),
  ),
  random: z.record(
    z.string(),
    port.extend({
      /** `bernoulli`: 1 with probability `p`, else 0. `uniform`: [0, 1). `bits`: every bit even odds (a seed). */
      distribution: z.enum(["normal", "rademacher", "uniform", "bernoulli", "bits"]),
      p: z.number().min(0).max(1).optional(),
      /** When it is drawn anew; `refresh`: at steps that refresh the curvature. */
      per: z.enum(["step", "refresh", "micro-batch"]),
    }),
  ),
  /** Tensors that one phase hands to another, beside grad/*, hvp/*, perturbed/* and perturbed_grad/*. */
  handed: z.record(z.string(), z.object({ dtype, shape: z.array(size) })).default({}),
  /** The fused graph of step t is the first entry's with (t − offset) mod every = 0. */
  schedule: z.array(period),
  /**
   * What each fused graph is in phases, by its name, in their order. `batch`: run on every micro-batch, outputs averaged by
   * loss_weight; `perturbed`: at perturbed/<param>, and grad/<param> is handed on as perturbed_grad/<param>.
   */
  phases: z
    .record(
      z.string(),
      z.array(
        z.object({ graph: z.string(), batch: z.boolean().default(false), perturbed: z.boolean().default(false) }),
      ),
    )
    .default({}),
  /** Graphs from state to state, without a batch: each runs before every step t ≥ offset with (t − offset) mod every = 0. */
  refreshes: z.array(period).default([]),
  graphs: z.record(z.string(), fileName),
  /** Memory counts for more than time: activations are computed anew where graphs are lowered, and runs hold on to nothing. */
  recompute: z.literal(true).optional(),
});

/** A manifest as read. */
export type Manifest = z.output<typeof manifestSchema>;
/** A manifest to write: keys that have a default may be left out. */
export type ManifestInput = z.input<typeof manifestSchema>;
export type Port = z.output<typeof port>;
export type RandomSpec = Manifest["random"][string];
export type ParameterSpec = Manifest["parameters"][string];
export type StateSpec = Manifest["state"][string];

/** Checks `value` against the schema and the rules that cross fields; `where` opens every message. */
export function parseManifest(value: unknown, where: string): Manifest {
  check(typeof value === "object" && value !== null, `${where}: it is not a JSON object`);
  const { format, version } = value as Record<string, unknown>;
  check(
    format === manifestFormat,
    `${where}: format is ${JSON.stringify(format)}, "${manifestFormat}" expected; this is not a training package`,
  );
  check(
    version === manifestVersion,
    `${where}: version ${JSON.stringify(version)} of the format is not known, only ${manifestVersion}; use a newer curvsam`,
  );
  const result = manifestSchema.safeParse(value);
  if (!result.success) {
    const issue = result.error.issues[0];
    throw new UserError(`${where}: ${fieldName(issue?.path ?? [])}: ${issue?.message ?? "not valid"}`);
  }
  const manifest = result.data;
  const kinds = ["inputs", "targets", "parameters", "state", "hyper", "random"] as const;
  const seen = new Map<string, string>();
  for (const kind of kinds) {
    for (const name of Object.keys(manifest[kind])) {
      const other = seen.get(name);
      check(other === undefined, `${where}: ${fieldName([kind, name])}: ${other} has an input of that name already`);
      seen.set(name, kind);
    }
  }
  for (const name of Object.keys(manifest.hyper)) {
    check(name.startsWith("hyper/"), `${where}: ${fieldName(["hyper", name])}: its name must start with "hyper/"`);
  }
  const isGraph = (graph: string, field: string): void =>
    check(Object.hasOwn(manifest.graphs, graph), `${where}: ${field}.graph: "${graph}" is not among the graphs`);
  manifest.schedule.forEach(({ graph }, i) => isGraph(graph, `schedule[${i}]`));
  manifest.refreshes.forEach(({ graph }, i) => isGraph(graph, `refreshes[${i}]`));
  for (const [name, phases] of Object.entries(manifest.phases)) {
    phases.forEach(({ graph }, i) => isGraph(graph, fieldName(["phases", name, i])));
  }
  for (const [name, { distribution, p }] of Object.entries(manifest.random)) {
    check(
      (distribution === "bernoulli") === (p !== undefined),
      `${where}: ${fieldName(["random", name, "p"])}: ${p === undefined ? "bernoulli needs it" : `${distribution} has none`}`,
    );
  }
  return manifest;
}

/** `state["adam_m/w"].dtype` for a path into JSON. */
function fieldName(path: readonly PropertyKey[]): string {
  const name = path.map((key) => {
    if (typeof key === "string" && /^[A-Za-z_]\w*$/.test(key)) return `.${key}`;
    return `[${JSON.stringify(key)}]`;
  });
  return name.join("").replace(/^\./, "") || "the whole";
}

/** Reads and checks `manifest.json` of the package in `folder`. */
export function readManifest(folder: string): Manifest {
  const path = join(folder, manifestFile);
  const text = onFile(path, "read", () => readFileSync(path, "utf8"));
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new UserError(`${path}: it is not JSON; the file is truncated or damaged`);
  }
  return parseManifest(value, path);
}

/** Checks `manifest` and writes it into `folder`, keys in the order of the schema: equal manifests give equal bytes. */
export function writeManifest(folder: string, manifest: ManifestInput): void {
  const path = join(folder, manifestFile);
  const text = `${JSON.stringify(parseManifest(manifest, path), null, 2)}\n`;
  writeFileAtomically(path, text);
}

/** The fused graph of step `t`. */
export function scheduledGraph(schedule: Manifest["schedule"], t: number): string {
  const entry = schedule.find(({ every, offset }) => (t - offset) % every === 0);
  check(entry, `the package's schedule has no graph for step ${t}; its last entry should have "every": 1`);
  return entry.graph;
}

/** Graphs without a batch that run before step `t`. */
export const refreshesAt = (manifest: Manifest, t: number): string[] =>
  manifest.refreshes.filter(({ every, offset }) => t >= offset && (t - offset) % every === 0).map(({ graph }) => graph);

export type Phase = Manifest["phases"][string][number];

/** The phases of the fused graph `variant`; packages from before `phases` was written have the usual ones. */
export function phasesOf(manifest: Manifest, variant: string): readonly Phase[] {
  const known = Object.hasOwn(manifest.phases, variant) ? manifest.phases[variant] : undefined;
  if (known) return known;
  const has = (graph: string): boolean => Object.hasOwn(manifest.graphs, graph);
  const refresh = variant.includes("curvature") && has("hvp");
  const phase = (graph: string, batch = false, perturbed = false): Phase => ({ graph, batch, perturbed });
  return [
    phase(refresh ? "hvp" : "gradient", true),
    ...(refresh ? [phase("curvature")] : []),
    ...(has("perturb") ? [phase("perturb"), phase("gradient", true, true)] : []),
    phase("descend"),
  ];
}
