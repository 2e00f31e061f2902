import { parentPort, workerData } from "node:worker_threads";
import { must, UserError } from "../../util/assert.js";
import type { BatchRequest, BatchResponse, BatchWorkerSetup } from "./pool.js";
import { makeBatch } from "./recipe.js";

const port = must(parentPort, "the parent's port");
const { set, recipe } = workerData as BatchWorkerSetup;

port.on("message", ({ id, task }: BatchRequest) => {
  makeBatch(set, recipe, task).then(
    (batch) =>
      post(
        { id, batch },
        Object.values(batch.feeds).map(({ data }) => data.buffer as ArrayBuffer),
      ),
    // An error would lose its class on the way.
    (error: unknown) => {
      if (!(error instanceof UserError)) throw error;
      post({ id, refusal: error.message }, []);
    },
  );
});

const post = (response: BatchResponse, transferred: ArrayBuffer[]): void => port.postMessage(response, transferred);
