import { parentPort, workerData } from "node:worker_threads";
import { must } from "../../util/assert.js";
import type { BatchRequest, BatchResponse, BatchWorkerSetup } from "./pool.js";
import { makeBatch } from "./recipe.js";

const port = must(parentPort, "the parent's port");
const { set, recipe } = workerData as BatchWorkerSetup;

port.on("message", ({ id, task }: BatchRequest) => {
  const batch = makeBatch(set, recipe, task);
  const response: BatchResponse = { id, batch };
  port.postMessage(
    response,
    Object.values(batch.feeds).map(({ data }) => data.buffer as ArrayBuffer),
  );
});
