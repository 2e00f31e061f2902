import { join } from "node:path";
import { checkTensors, otherWeights } from "../format/compare.js";
import { readManifest, weightsFile, type Manifest } from "../format/manifest.js";
import { SafetensorsFile, writeSafetensors, type TensorEntry, type TensorToWrite } from "../format/safetensors.js";
import {
  layoutsOf,
  matchNames,
  transpose,
  usualShape,
  type Layout,
  type LayerKind,
  type Matched,
  type NameMatch,
} from "../format/state_dict.js";
import { loadModel } from "../serde/index.js";
import { check, must } from "../util/assert.js";
import type { DType } from "../util/dtype.js";
import { widened } from "../util/half.js";

/** What a state dict and a package have in common. */
export interface StateDictReport {
  /** Tensors of the package that the file has, and those of them that it holds transposed. */
  matched: string[];
  transposed: string[];
  /** Square matrices whose layout neither their shape nor that of another layer of their kind told: the kind of layer did. */
  byLayer: string[];
  /** Tensors of the package that the file has not; they stay as they are. */
  missing: string[];
  /** Tensors of the file that the package has not. */
  unexpected: string[];
  prefix: NameMatch["prefix"];
}

/** A tensor as `PackageRuntime.write` takes it. */
export interface LoadedTensor {
  dtype: DType;
  dims: readonly number[];
  data: Float32Array<ArrayBuffer>;
}

interface Slot {
  dtype: DType;
  shape: readonly number[];
  kind: LayerKind;
}

/** Parameters and buffers of the package in `folder`, and what its graph makes of each. */
function slotsOf(folder: string, manifest: Manifest): Map<string, Slot> {
  const { graph } = loadModel(join(folder, manifest.graphs["forward"] ?? "forward.onnx"));
  const products = new Map<string, LayerKind>();
  for (const node of graph.nodes) {
    const weight = node.inputs[1];
    if (!weight) continue;
    if (node.op === "MatMul") products.set(weight.name, "product");
    if (node.op === "Gemm" && node.int("transB", 0) === 0) products.set(weight.name, "addmm");
  }
  const slots = new Map<string, Slot>();
  for (const [name, { dtype, shape, transposed }] of Object.entries(manifest.parameters)) {
    const read = /(^|\.)weight$/.test(name) ? products.get(name) : undefined;
    slots.set(name, { dtype, shape, kind: transposed ? "folded" : (read ?? "same") });
  }
  for (const [name, { dtype, shape, init }] of Object.entries(manifest.state)) {
    if ("tensor" in init) slots.set(name, { dtype, shape, kind: "same" });
  }
  return slots;
}

interface Correspondence {
  pairs: ReadonlyMap<string, string>;
  layouts: ReadonlyMap<string, Layout>;
  report: StateDictReport;
}

const list = (items: readonly string[]): string =>
  items.slice(0, 5).join("; ") + (items.length > 5 ? `; and ${items.length - 5} more` : "");

/** How `file` and the slots correspond; throws where the file is of another model. */
function correspond(slots: ReadonlyMap<string, Slot>, file: SafetensorsFile): Correspondence {
  const { pairs, prefix } = matchNames([...slots.keys()], new Set(file.entries.keys()));
  check(
    pairs.size > 0,
    () =>
      `${file.path}: none of its ${file.entries.size} tensors has the name of a parameter; they are called like ` +
      `"${[...file.entries.keys()][0] ?? ""}", the package's like "${[...slots.keys()][0] ?? ""}"; give the weights of the same model`,
  );
  const matched = [...pairs].map(([name, there]): Matched => {
    const { kind, shape } = must(slots.get(name), name);
    return { name, kind, here: shape, there: file.entry(there).shape };
  });
  const { layouts, misfits, mixed } = layoutsOf(matched);
  check(misfits.length === 0, () => {
    const lines = misfits.map(
      (each) =>
        `"${pairs.get(each.name) ?? each.name}" is [${each.there.join(",")}], [${usualShape(each).join(",")}] expected`,
    );
    const count = `${misfits.length} tensor${misfits.length === 1 ? " does" : "s do"} not fit the package`;
    return `${file.path}: ${count}: ${list(lines)}; give the weights of the same model, or leave these out with --init-skip`;
  });
  check(
    mixed === null,
    () =>
      `${file.path}: it holds "${mixed?.[0] ?? ""}" as the package does and "${mixed?.[1] ?? ""}" transposed, so that the layout of ` +
      "square matrices cannot be told; give a file of one layout",
  );
  const is = (test: (layout: Layout) => boolean): string[] =>
    [...layouts].filter(([, layout]) => test(layout)).map(([name]) => name);
  const used = new Set(pairs.values());
  const report = {
    matched: [...pairs.keys()],
    transposed: is(({ transposed }) => transposed),
    byLayer: is(({ by }) => by === "layer"),
    missing: [...slots.keys()].filter((name) => !pairs.has(name)),
    unexpected: [...file.entries.keys()].filter((name) => !used.has(name)),
    prefix,
  };
  return { pairs, layouts, report };
}

/** The float32 elements of `entry`, transposed where told. */
function elements(file: SafetensorsFile, name: string, { dtype, shape }: TensorEntry, transposed: boolean) {
  const data = widened(file.bytes(name), dtype);
  check(data, `${file.path}: tensor "${name}" is ${dtype}; floating point expected`);
  const [rows = 1, columns = 1] = shape;
  return transposed ? transpose(data, rows, columns) : data;
}

/**
 * Reads a PyTorch or Hugging Face state dict (`file`, safetensors) for the package in `folder`: names are matched, through one change
 * of prefix where needed, and matrices brought into the package's layout; float16, bfloat16 and float64 become float32. Parameters that
 * `skip` selects are left out.
 *
 * Throws a UserError where no name matches or a shape does not fit.
 */
export function readStateDict(
  folder: string,
  path: string,
  options: { skip?: (name: string) => boolean } = {},
): { values: Record<string, LoadedTensor>; report: StateDictReport } {
  const slots = slotsOf(folder, readManifest(folder));
  for (const name of [...slots.keys()]) if (options.skip?.(name)) slots.delete(name);
  return SafetensorsFile.using(path, (file) => {
    const { pairs, layouts, report } = correspond(slots, file);
    const values: Record<string, LoadedTensor> = {};
    for (const [name, there] of pairs) {
      const { dtype, shape } = must(slots.get(name), name);
      check(dtype === "float32", `the package's "${name}" is ${dtype}; only float32 can be read from a state dict`);
      const data = elements(file, there, file.entry(there), layouts.get(name)?.transposed ?? false);
      values[name] = { dtype, dims: shape, data };
    }
    return { values, report };
  });
}

export interface StateDictOptions {
  /** A safetensors file with every parameter, in the package's layout; default: the package's own. */
  weights?: string;
  /** A state dict whose names and layouts to take; what it has beside the package's tensors is copied. */
  like?: string;
}

/**
 * Writes the weights of the package in `folder` as a PyTorch state dict (`path`, safetensors): PyTorch's names, linear weights as [out,
 * in]. The file appears when it is whole. Throws a UserError where the weights, or those to be like, are of another model.
 */
export function writeStateDict(
  folder: string,
  path: string,
  { weights, like }: StateDictOptions = {},
): StateDictReport {
  const slots = slotsOf(folder, readManifest(folder));
  const from = weights ?? join(folder, weightsFile);
  return SafetensorsFile.using(from, (file) => {
    checkTensors(file, slots, otherWeights);
    if (like === undefined) return write(path, file, slots, usualCorrespondence(slots), []);
    return SafetensorsFile.using(like, (model) => {
      const found = correspond(slots, model);
      const copied = found.report.unexpected.map((name) => ({
        ...model.entry(name),
        name,
        bytes: () => model.bytes(name),
      }));
      return write(path, file, slots, found, copied);
    });
  });
}

/** Every tensor under its own name, in the layout that its kind of layer has in PyTorch. */
function usualCorrespondence(slots: ReadonlyMap<string, Slot>): Correspondence {
  const all = [...slots].map(([name, { kind, shape: here }]) => ({
    name,
    kind,
    here,
    there: usualShape({ kind, here }),
  }));
  const { layouts } = layoutsOf(all);
  const names = [...slots.keys()];
  const transposed = names.filter((name) => layouts.get(name)?.transposed);
  const byLayer = all
    .filter(({ kind, here }) => (kind === "product" || kind === "addmm") && here.length === 2)
    .map(({ name }) => name);
  return {
    pairs: new Map(names.map((name) => [name, name])),
    layouts,
    report: { matched: names, transposed, byLayer, missing: [], unexpected: [], prefix: null },
  };
}

function write(
  path: string,
  file: SafetensorsFile,
  slots: ReadonlyMap<string, Slot>,
  { pairs, layouts, report }: Correspondence,
  more: readonly TensorToWrite[],
): StateDictReport {
  const tensors = [...slots].map(([name, { dtype, shape }]): TensorToWrite => {
    const transposed = layouts.get(name)?.transposed ?? false;
    return {
      name: pairs.get(name) ?? name,
      dtype,
      shape: transposed ? [...shape].reverse() : shape,
      bytes: () =>
        transposed ? new Uint8Array(elements(file, name, file.entry(name), true).buffer) : file.bytes(name),
    };
  });
  writeSafetensors(path, [...tensors, ...more], { format: "pt" });
  return report;
}
