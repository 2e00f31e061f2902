/** ONNX's own cases as models at the working opset, with the values of their inputs. */
import { existsSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { InferenceSession } from "onnxruntime-node";
import { timeFirst, unpackSequences, upgrade } from "../../src/convert/index.js";
import { tensorType, Value, type Model } from "../../src/ir/graph.js";
import { parseModel, serializeModel } from "../../src/serde/index.js";
import { isFloat } from "../../src/util/dtype.js";
import { ofTensor, type Array64 } from "../reference/array.js";
import { toRuntime } from "./ort.js";
import { hasSequences, isOfSequences, unwrapSequences } from "./sequence_case.js";
import { parseTensor } from "./tensors.js";

export interface BackendCase {
  name: string;
  /** As the file has it. */
  bytes: Uint8Array;
  /** The values of its inputs, by name. */
  given: readonly (readonly [name: string, x: Array64])[];
  /** A copy at the working opset, with the values of its inputs; initializers that are inputs are fed. */
  load: () => Loaded;
}

export interface Loaded {
  name: string;
  model: Model;
  feeds: Map<Value, Array64>;
  /** Operators of sequences that the case had. */
  sequenced: readonly string[];
}

export const isFloatTensor = (v: Value): boolean => v.type?.kind === "tensor" && isFloat(v.type.dtype);

/** Whether a value is of floats: a tensor, or a sequence or optional of such. */
export function holdsFloats({ type }: Value): boolean {
  let inner = type;
  while (inner?.kind === "sequence" || inner?.kind === "optional") inner = inner.of;
  return inner?.kind === "tensor" && isFloat(inner.dtype);
}

/** The model in `folder`, as it is. */
export const readModel = (folder: string): Model => parseModel(readFileSync(join(folder, "model.onnx")), { folder });

/** One case of the archive, a folder with `model.onnx` and `test_data_set_0`. */
export function openCase(folder: string): BackendCase {
  const name = basename(folder);
  const { bytes, given } = opened(folder);
  const load = (): Loaded => {
    const model = parseModel(bytes, { folder });
    const { graph } = model;
    const feeds = new Map<Value, Array64>();
    graph.inputs.forEach((v, i) => {
      const [, x] = given[i]!;
      graph.initializers.delete(v);
      feeds.set(v, x);
      v.type ??= tensorType(x.dtype, x.dims);
    });
    upgrade(model);
    const sequenced = graph.nodes.filter(isOfSequences).map((n) => n.op);
    unpackSequences(model);
    timeFirst(model);
    addMasks(model);
    return { name, model, feeds, sequenced };
  };
  return { name, bytes, given, load };
}

function opened(folder: string): Pick<BackendCase, "bytes" | "given"> {
  const bytes = readFileSync(join(folder, "model.onnx"));
  const model = parseModel(bytes, { folder });
  if (!hasSequences(model.graph)) return { bytes, given: givenTo(model, readInputs(join(folder, "test_data_set_0"))) };
  const given = [...unwrapSequences(model, folder)].map(([v, t]) => [v.name, ofTensor(t)] as const);
  return { bytes: serializeModel(model), given };
}

/** Inputs that are initializers take these, the others the values of the files, in turn. */
function givenTo({ graph }: Model, values: readonly Array64[]): BackendCase["given"] {
  let next = 0;
  return graph.inputs.map((v) => {
    const initial = graph.initializers.get(v);
    const x = initial ? ofTensor(initial) : values[next++];
    if (!x) throw new Error(`no value for the input "${v.name}"`);
    return [v.name, x] as const;
  });
}

function readInputs(folder: string): Array64[] {
  const found: Array64[] = [];
  for (let i = 0; existsSync(join(folder, `input_${i}.pb`)); i++)
    found.push(ofTensor(parseTensor(readFileSync(join(folder, `input_${i}.pb`)))));
  return found;
}

/** Dropout in training mode is differentiated with its mask held: it becomes an output. */
function addMasks({ graph }: Model): void {
  for (const node of graph.nodes) {
    if (node.op !== "Dropout" || !node.inputs[2] || node.outputs[1]) continue;
    const mask = new Value(`${node.output().name}/mask`, null);
    mask.producer = node;
    node.outputs = [node.output(), mask];
  }
}

/** Why the runtime does not run the case, neither as it is nor at the working opset; "" where it does. */
export async function runtimeRefusal(c: BackendCase): Promise<string> {
  const refusal = await refusalOf(c.bytes, c.given);
  if (refusal === "") return "";
  let raised: Uint8Array;
  try {
    raised = serializeModel(c.load().model);
  } catch {
    return refusal;
  }
  return (await refusalOf(raised, c.given)) && refusal;
}

async function refusalOf(bytes: Uint8Array, given: readonly (readonly [string, Array64])[]): Promise<string> {
  try {
    const session = await InferenceSession.create(bytes, { intraOpNumThreads: 1, logSeverityLevel: 4 });
    try {
      const known = given.filter(([name]) => session.inputNames.includes(name));
      await session.run(Object.fromEntries(known.map(([name, x]) => [name, toRuntime(x)])));
      return "";
    } finally {
      await session.release();
    }
  } catch (error) {
    return (error as Error).message.split("\n")[0]!;
  }
}
