import { provider as cpu } from "./cpu.js";
import { provider as cuda } from "./cuda.js";
import { provider as dml } from "./dml.js";
import type { Provider } from "./provider.js";
import { provider as trainingWasm } from "./training_wasm.js";
import { provider as webgpu } from "./webgpu.js";

/** Every execution provider that packages can be trained on, by name. */
export const providers: ReadonlyMap<string, Provider> = new Map(
  [cpu, cuda, dml, webgpu, trainingWasm].map((provider) => [provider.name, provider]),
);
