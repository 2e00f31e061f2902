import { parentPort, workerData } from "node:worker_threads";
import { must } from "../util/assert.js";
import { Engine } from "./engine.js";
import { buffersOf, toPlain, type CallName, type Handlers, type Request, type Response } from "./protocol.js";
import type { WorkerSetup } from "./protocol.js";
import type { HostTensor } from "./tensors.js";

const port = must(parentPort, "the parent's port");
const post = (response: Response, transfer: ArrayBuffer[] = []) => port.postMessage(response, transfer);

function serve(engine: Engine): void {
  const handlers: Handlers = {
    step: (batches, hyper, driver) => engine.step(batches, hyper, driver),
    roomForSteps: (batch) => engine.roomForSteps(batch),
    steps: (batches, hyper) => engine.steps(batches, hyper),
    evaluate: (batch) => engine.evaluate(batch),
    forward: (batch) => engine.forward(batch),
    read: (names) => engine.read(names),
    write: (values) => engine.write(values),
    getCounters: () => engine.getCounters(),
    saveState: (path) => engine.saveState(path),
    loadState: (path) => engine.loadState(path),
    saveWeights: (path) => engine.saveWeights(path),
    close: () => engine.close(),
  };
  const answer = async ({ id, call, args }: Request): Promise<void> => {
    try {
      const handle = handlers[call] as (...args: unknown[]) => unknown;
      const value = await handle(...args);
      post({ kind: "result", id, value }, buffersOf(tensorsIn(call, value)));
    } catch (error) {
      post({ kind: "error", id, error: toPlain(error) });
    }
    if (call === "close") port.close();
  };
  // One request at a time: a run gives the event loop a turn before it starts.
  let last: Promise<void> = Promise.resolve();
  port.on("message", (request: Request) => {
    last = last.then(() => answer(request));
  });
}

/** The tensors of a result, which the worker has no more use for. */
function tensorsIn(call: CallName, value: unknown): HostTensor[] {
  if (call === "evaluate") return Object.values((value as { outputs: Record<string, HostTensor> }).outputs);
  if (call === "forward" || call === "read") return Object.values(value as Record<string, HostTensor>);
  return [];
}

const { folder, options } = workerData as WorkerSetup;
try {
  serve(await Engine.open(folder, options));
  post({ kind: "opened" });
} catch (error) {
  post({ kind: "failed", error: toPlain(error) });
}
