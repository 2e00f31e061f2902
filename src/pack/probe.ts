import type { Graph, Model, Node, Value } from "../ir/graph.js";
import { tensorType } from "../ir/graph.js";
import { UserError } from "../util/assert.js";
import { typeBodies } from "./probe_bodies.js";
import { observe, type Frame } from "./probe_session.js";
import { Symbols, mostSymbols } from "./probe_symbols.js";

/**
 * Types every value of `model.graph`, in bodies too, by asking the runtime: the graph is opened at three sets of sizes of
 * its dynamic dimensions with every value an output, and equal triples of sizes are one symbol. Products of the inputs'
 * symbols are named as such (`batch*sequence`); what the runtime does not know stays a symbol of its own. A body is
 * opened as a graph of its own, whose inputs are what enters it and what it captures.
 *
 * Throws a UserError with the runtime's words where it refuses the model.
 */
export async function probeTypes(model: Model): Promise<void> {
  const { graph } = model;
  const symbols = dynamicDims(graph);
  if (symbols.length > mostSymbols) {
    throw new UserError(
      `the model has ${symbols.length} dynamic dimensions; at most ${mostSymbols} are supported: fix some of them at export`,
    );
  }
  const probe = new Probe(model, new Symbols(symbols));
  await probe.type({
    inputs: graph.inputs.filter((v) => !graph.initializers.has(v)),
    initializers: graph.initializers,
    nodes: graph.nodes,
  });
}

/** Types the values of frames: graphs, or bodies with what they read from around them. */
export class Probe {
  constructor(
    readonly model: Model,
    readonly symbols: Symbols,
  ) {}

  /** Types every value that the nodes of `frame` make, and those of the bodies within. */
  async type(frame: Frame): Promise<void> {
    await this.observe(frame);
    // What the runtime does not tell of the outputs of nodes with bodies, the bodies do: the rest is then asked again.
    let rest = frame;
    for (const node of frame.nodes) {
      if (node.graphs().next().done) continue;
      if (!(await typeBodies(this, node, frame))) continue;
      rest = without(rest, node);
      await this.observe(rest);
    }
  }

  private async observe(frame: Frame): Promise<void> {
    const probes = [];
    for (const sizes of this.symbols.rounds()) probes.push(await observe(this.model, frame, sizes));
    for (const node of frame.nodes) {
      for (const o of node.outputs) {
        if (!o) continue;
        const seen = probes.map((p) => p.get(o.name));
        const first = seen[0];
        if (!first) continue;
        o.type = tensorType(first.dtype, this.symbols.shape(seen.map((s) => s?.dims ?? null)));
      }
    }
  }
}

/** The frame with the outputs of `node` as inputs. */
const without = (frame: Frame, node: Node): Frame => ({
  inputs: [...frame.inputs, ...node.outputs.filter((o): o is Value => o !== null)],
  initializers: frame.initializers,
  nodes: frame.nodes.filter((n) => n !== node),
});

/** The symbols of the graph's own inputs; unknown dimensions get names after their input. */
function dynamicDims(graph: Graph): string[] {
  const symbols = new Set<string>();
  for (const input of graph.inputs) {
    if (graph.initializers.has(input) || input.type?.kind !== "tensor") continue;
    if (!input.type.shape)
      throw new UserError(`input "${input.name}" has no shape; export the model with shapes for its inputs`);
    const shape = input.type.shape.map((d, i) =>
      typeof d === "number" || !d.startsWith("?") ? d : `${input.name}_dim${i}`,
    );
    input.type = tensorType(input.type.dtype, shape);
    for (const d of shape) if (typeof d === "string") symbols.add(d);
  }
  return [...symbols];
}
