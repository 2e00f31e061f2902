import type { Constants } from "../ir/builder.js";
import type { Graph, Node } from "../ir/graph.js";
import { reducesNothing } from "../ops/reduction.js";
import { graphsWithin } from "../passes/pass.js";

/** Whether a recurrent layer has activations that the kernels lack. */
function hasOtherActivations(node: Node): boolean {
  const given = node.attributes["activations"];
  return given?.type === "strings" && given.value.some((name) => !["Sigmoid", "Tanh"].includes(String(name)));
}

/** Whether scale and bias have the shape of the normalised axes, as far as is known. */
function broadcastsScale(node: Node): boolean {
  const shape = node.input(0).shape;
  const axes = shape?.slice(node.int("axis", -1));
  return node.inputs.slice(1).some((v) => axes && v?.shape && v.shape.join() !== axes.join());
}

type Fault = (node: Node, constants: Constants) => boolean;

/** What is left of a reduction of no axis, an absolute value or a square, the kernels leave out. */
const reducesNone: Fault = (node, constants) => reducesNothing(constants, node);

/** Forms of operators that the provider takes, and then refuses to run or gives wrong numbers for (onnxruntime-node 1.30). */
const failing: Readonly<Record<string, Fault>> = {
  ConvTranspose: (node) => (node.input(0).shape?.length ?? 0) > 4,
  GRU: hasOtherActivations,
  LSTM: hasOtherActivations,
  LayerNormalization: broadcastsScale,
  MaxPool: (node) => node.outputs.length > 1,
  ReduceL1: reducesNone,
  ReduceL2: reducesNone,
  ReduceLogSum: reducesNone,
  ReduceLogSumExp: reducesNone,
  ReduceSumSquare: reducesNone,
  SimplifiedLayerNormalization: (node) => node.outputs.length > 1,
};

/** Whether the WebGPU provider would fail in `node`, whose constants are in `constants`. */
export const failsOnWebGpu: Fault = (node, constants) =>
  node.domain === "" && failing[node.op]?.(node, constants) === true;

/** Names of the nodes that the WebGPU provider would fail in, bodies included: sessions give them to the CPU. */
export function nodesForCpu(graph: Graph): string[] {
  return [...graphsWithin(graph)].flatMap((g) =>
    g.nodes.filter((node) => failsOnWebGpu(node, g)).map((node) => node.name),
  );
}
