import { createRequire } from "node:module";
import type { Node, Value } from "../ir/graph.js";

/** The execution providers whose kernels are on record. */
export const kernelProviders = ["cpu", "cuda", "dml", "webgpu"] as const;
export type KernelProvider = (typeof kernelProviders)[number];

/** Since which version of its operator, up to which (null: as long as the operator does not change), and the types by variable: indexes of `types`. */
type Kernel = readonly [since: number, until: number | null, types: Readonly<Record<string, number>>];

/** kernels.json, as scripts/kernel_table.py writes it from the documents and sources of the runtime. */
interface Table {
  /** Version and commit of the runtime. */
  runtime: string;
  commit: string;
  types: readonly string[];
  /** Operators that the runtime writes out in terms of others where no provider has a kernel. */
  functions: readonly string[];
  /** By operator, the variants of its type variables, inputs then outputs; variadic ones stand once, `*` is anything. */
  signatures: Readonly<Record<string, readonly (readonly [inputs: string, outputs: string])[]>>;
  kernels: Readonly<Record<KernelProvider, Readonly<Record<string, readonly Kernel[]>>>>;
}

const table = createRequire(import.meta.url)("./kernels.json") as Table;

/** The runtime that the table is of. */
export const kernelsOf: string = table.runtime;

/**
 * Why `provider` cannot run `node`, by the runtime's kernel table: `no kernel`, `no kernel of opset 21`, `no kernel for int64`;
 * undefined where it can. `opset` is the model's version of the node's domain. Values without a known type are taken to fit.
 */
export function kernelFault(node: Node, provider: KernelProvider, opset: number): string | undefined {
  const op = node.domain === "" || node.domain === "ai.onnx" ? node.op : `${node.domain}::${node.op}`;
  const kernels = find(table.kernels[provider], op);
  if (!kernels) return "no kernel";
  const version = versionAt(op, opset);
  const fitting = kernels.filter(
    ([since, until]) => since === version || (until !== null && since < version && version <= until),
  );
  if (fitting.length === 0) return `no kernel of opset ${opset}`;
  const signatures = find(table.signatures, op) ?? [];
  const faults = fitting.flatMap(([, , types]) => signatures.map((signature) => typeFault(node, signature, types)));
  return faults.every((fault) => fault !== undefined) ? faults[0] : undefined;
}

/** Whether the runtime can write the node out in terms of other operators. */
export const isFunction = (node: Node): boolean => node.domain === "" && table.functions.includes(node.op);

const find = <T>(record: Readonly<Record<string, T>>, key: string): T | undefined =>
  Object.hasOwn(record, key) ? record[key] : undefined;

/** The version of `op` that a model of `opset` means: the newest that some kernel starts at, or comes right after. */
function versionAt(op: string, opset: number): number {
  const starts = kernelProviders.flatMap((provider) => find(table.kernels[provider], op) ?? []);
  const versions = starts.flatMap(([since, until]) => (until === null ? [since] : [since, until + 1]));
  return Math.max(1, ...versions.filter((version) => version <= opset));
}

/** The first type of the node's inputs and outputs that the kernel does not take. */
function typeFault(
  node: Node,
  [inputs, outputs]: readonly [string, string],
  types: Readonly<Record<string, number>>,
): string | undefined {
  for (const [values, variables] of [
    [node.inputs, inputs.split(" ")],
    [node.outputs, outputs.split(" ")],
  ] as const) {
    for (const [i, value] of values.entries()) {
      const dtype = dtypeOf(value);
      const variable = variables[Math.min(i, variables.length - 1)];
      const allowed = variable === undefined ? undefined : find(types, variable);
      if (dtype !== undefined && allowed !== undefined && !table.types[allowed]?.split(" ").includes(dtype)) {
        return `no kernel for ${dtype}`;
      }
    }
  }
  return undefined;
}

const dtypeOf = (value: Value | null): string | undefined =>
  value?.type?.kind === "tensor" ? value.type.dtype : undefined;
