import { ruleContext } from "../../../src/autodiff/context.js";
import { giveShapes, lowerTraining, refuseUnknownOps, typeTwin } from "../../../src/convert/training/index.js";
import { upgrade } from "../../../src/convert/index.js";
import { newBuilder } from "../../../src/ops/builder.js";
import { probeTypes } from "../../../src/pack/probe.js";
import type { Graph } from "../../../src/ir/graph.js";
import { must } from "../../../src/util/assert.js";
import { modelOf, type Case } from "./cases.js";

/** Cases in standard operators; output i of a case is called `<case>/<i>`. */
export async function lowered(names: readonly string[], cases?: Readonly<Record<string, Case>>): Promise<Graph> {
  const { model, outputs } = modelOf(names, cases);
  upgrade(model);
  refuseUnknownOps(model.graph, "cases");
  giveShapes(model.graph);
  const { twin, apply } = typeTwin(model);
  await probeTypes(twin);
  apply();
  const b = newBuilder("lowered");
  const copies = lowerTraining(ruleContext(b), model.graph, model.graph.inputs, model.graph.outputs);
  for (const [name, values] of outputs) values.forEach((v, i) => b.output(must(copies.get(v), v.name), `${name}/${i}`));
  return b.graph;
}
