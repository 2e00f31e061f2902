import { join } from "node:path";
import { gradient, hvpOfGradient } from "../autodiff/hvp.js";
import type { Manifest } from "../format/manifest.js";
import { instantiate } from "../ir/copy.js";
import { newModel, type Graph, type Value } from "../ir/graph.js";
import { newBuilder } from "../ops/builder.js";
import * as e from "../ops/emit.js";
import { saveModel } from "../serde/index.js";
import { must } from "../util/assert.js";
import { loadTyped } from "./load.js";
import { tidy } from "./tidy.js";

/** Files of the graphs of a loss surface. */
export interface SurfaceFiles {
  gradient: string;
  hvp: string;
}

/**
 * Writes the derivatives of a package's `evaluate` graph into `folder`, in evaluation mode and over the trainable parameters:
 * `gradient.onnx` (parameters, batch → loss, loss_weight, grad/*) and `hvp.onnx` (the same and z/* → hvp/*). The package's
 * own phases are in training mode: there, dropout and batch statistics move the surface from batch to batch.
 */
export async function writeSurface(packageFolder: string, manifest: Manifest, folder: string): Promise<SurfaceFiles> {
  const { model } = await loadTyped(join(packageFolder, must(manifest.graphs["evaluate"], "the evaluate graph")));
  const write = (name: string, graph: Graph): string => {
    const file = join(folder, name);
    saveModel(newModel(tidy(graph)), file);
    return file;
  };
  return {
    gradient: write("gradient.onnx", derivatives(model.graph, manifest, false)),
    hvp: write("hvp.onnx", derivatives(model.graph, manifest, true)),
  };
}

function derivatives(source: Graph, manifest: Manifest, second: boolean): Graph {
  const b = newBuilder(second ? "hvp" : "gradient");
  const bindings = new Map<Value, Value>(source.inputs.map((v) => [v, b.input(v.name, must(v.type, v.name))]));
  const output = (name: string): Value =>
    must(
      source.outputs.find((v) => v.name === name),
      name,
    );
  const copies = instantiate(b, source, bindings, [output("loss_sum"), output("loss_weight")]);
  const sum = must(copies.get(output("loss_sum")), "loss_sum");
  const weight = must(copies.get(output("loss_weight")), "loss_weight");
  const loss = e.div(b, sum, weight);
  const names = Object.keys(manifest.parameters).filter((name) => manifest.parameters[name]?.trainable);
  // A parameter that the loss does not reach is no input of the evaluate graph, and no coordinate of the surface.
  const reached = names.flatMap((name) => {
    const input = source.inputs.find((v) => v.name === name);
    return input ? [{ name, value: must(bindings.get(input), name) }] : [];
  });
  const at = reached.map(({ value }) => value);
  const grads = gradient(b, loss, at);
  const probes = second ? reached.map(({ name, value }) => b.input(`z/${name}`, must(value.type, name))) : [];
  const products = second ? hvpOfGradient(b, grads, at, probes) : [];
  b.output(loss, "loss");
  b.output(weight, "loss_weight");
  reached.forEach(({ name, value }, i) => {
    b.output(grads[i] ?? e.fullLike(b, 0, value), `grad/${name}`);
    if (second) b.output(products[i] ?? e.fullLike(b, 0, value), `hvp/${name}`);
  });
  return b.graph;
}
