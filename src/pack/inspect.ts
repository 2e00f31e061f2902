import { statSync } from "node:fs";
import type { Model, Type, Value } from "../ir/graph.js";
import { graphsWithin } from "../passes/pass.js";
import { loadModel } from "../serde/index.js";
import { isFloat } from "../util/dtype.js";

export interface PortReport {
  name: string;
  type: string;
}

export interface TensorsReport {
  tensors: number;
  elements: number;
  bytes: number;
}

/** What `inspectModel` says of a model. */
export interface ModelReport {
  file: string;
  /** Bytes of the file, external data not counted. */
  size: number;
  irVersion: number;
  opsets: Record<string, number>;
  producer: string;
  inputs: PortReport[];
  outputs: PortReport[];
  /** Floating-point initializers, in the main graph and in bodies. */
  parameters: TensorsReport;
  /** The other initializers. */
  constants: TensorsReport;
  nodes: number;
  /** Nodes by operator, bodies and functions included. */
  ops: Record<string, number>;
  functions: string[];
  external: { files: string[]; bytes: number };
  metadata: Record<string, string>;
}

/** `float32[batch, 3]`; dimensions that the file leaves open read `?`, an unknown rank `[…]`. */
export function typeText(type: Type | null): string {
  if (!type) return "?";
  switch (type.kind) {
    case "tensor":
    case "sparse": {
      const shape = type.shape?.map((d) => (typeof d === "string" && d.startsWith("?") ? "?" : String(d))).join(", ");
      return `${type.kind === "sparse" ? "sparse " : ""}${type.dtype}[${shape ?? "…"}]`;
    }
    case "opaque":
      return `opaque(${type.domain}.${type.name})`;
    case "map":
      return `map(${type.key}, ${typeText(type.of)})`;
    default:
      return `${type.kind}(${typeText(type.of)})`;
  }
}

const port = (value: Value): PortReport => ({ name: value.name, type: typeText(value.type) });

/**
 * Describes the ONNX model in `file`; external weights are not read. Throws a UserError for a file that is no sound ONNX model.
 */
export function inspectModel(file: string): ModelReport {
  const model = loadModel(file);
  return { file, size: statSync(file).size, ...describe(model) };
}

function describe(model: Model): Omit<ModelReport, "file" | "size"> {
  const report: ReturnType<typeof describe> = {
    irVersion: model.irVersion,
    opsets: Object.fromEntries([...model.opsets].map(([domain, version]) => [domain || "ai.onnx", version])),
    producer: [model.producer.name, model.producer.version].filter(Boolean).join(" "),
    inputs: model.graph.inputs.filter((v) => !model.graph.initializers.has(v)).map(port),
    outputs: model.graph.outputs.map(port),
    parameters: { tensors: 0, elements: 0, bytes: 0 },
    constants: { tensors: 0, elements: 0, bytes: 0 },
    nodes: 0,
    ops: {},
    functions: model.functions.map((f) => `${f.domain}::${f.name}`),
    external: { files: [], bytes: 0 },
    metadata: Object.fromEntries(model.metadata),
  };
  const counts = new Map<string, number>();
  const files = new Set<string>();
  for (const top of [model.graph, ...model.functions.map((f) => f.body)]) {
    for (const graph of graphsWithin(top)) {
      report.nodes += graph.nodes.length;
      for (const { domain, op } of graph.nodes) {
        const name = domain ? `${domain}::${op}` : op;
        counts.set(name, (counts.get(name) ?? 0) + 1);
      }
      for (const tensor of graph.initializers.values()) {
        const kind = isFloat(tensor.dtype) ? report.parameters : report.constants;
        kind.tensors++;
        kind.elements += tensor.size;
        kind.bytes += tensor.byteLength;
        if ("external" in tensor.storage) {
          files.add(tensor.storage.external.file);
          report.external.bytes += tensor.storage.external.length;
        }
      }
    }
  }
  report.ops = Object.fromEntries([...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)));
  report.external.files = [...files];
  return report;
}
