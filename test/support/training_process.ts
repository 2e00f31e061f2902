/** A process of its own that runs one model on the last training build: forked, it takes a request and sends the results. */
import { Tensor } from "onnxruntime-node";
import { provider } from "../../src/runtime/providers/training_wasm.js";
import { must } from "../../src/util/assert.js";

export interface TrainingRequest {
  model: Uint8Array;
  feeds: Record<string, Pick<Tensor, "type" | "dims" | "data">>;
  outputs: string[];
}

export type TrainingResults = Record<string, Pick<Tensor, "dims" | "data">>;

/** Runs `request` in this process. */
export async function runOnTrainingBuild({ model, feeds, outputs }: TrainingRequest): Promise<TrainingResults> {
  const session = await must(provider.open, "a binding")(model);
  try {
    const given = Object.entries(feeds).map(([name, { type, dims, data }]) => [name, new Tensor(type, data, dims)]);
    const wanted = Object.fromEntries(outputs.map((name) => [name, null]));
    const results = await session.run(Object.fromEntries(given) as Record<string, Tensor>, wanted);
    return Object.fromEntries(Object.entries(results).map(([name, { dims, data }]) => [name, { dims, data }]));
  } finally {
    await session.release();
  }
}

if (process.send) {
  process.once("message", (request: TrainingRequest) => {
    void runOnTrainingBuild(request).then((results) => process.send?.(results, () => process.exit(0)));
  });
}
