import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import type { InferenceSession, Tensor } from "onnxruntime-node";
import { must } from "../../util/assert.js";
import type { Provider, Session } from "./provider.js";

/** The part of onnxruntime-web's interface that is used here. */
interface WasmSession {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  run(feeds: Readonly<Record<string, Tensor>>, fetches: readonly string[]): Promise<Record<string, Tensor>>;
  release(): Promise<void>;
}

interface WasmRuntime {
  env: { wasm: { numThreads: number }; logLevel: string };
  InferenceSession: {
    create(
      model: Uint8Array,
      options: { executionProviders: string[]; logSeverityLevel: number },
    ): Promise<WasmSession>;
  };
}

/** Exceptions of the kernels arrive as bare numbers. */
const readable = (error: unknown): unknown =>
  typeof error === "number" ? new Error(`a kernel threw an exception (${error})`) : error;

let instances = 0;

/**
 * The last training build, onnxruntime-web 1.19.2. Its package offers Node no training entry, so the file is loaded by
 * path; and anew for every session, because a session that ran some of the kernels can leave the heap such that a later
 * one fails in it.
 */
async function load(): Promise<WasmRuntime> {
  const entry = createRequire(import.meta.url).resolve("onnxruntime-web-training");
  const { href } = pathToFileURL(join(dirname(entry), "ort.training.wasm.min.mjs"));
  const loaded = (await import(`${href}?session=${instances++}`)) as WasmRuntime;
  loaded.env.wasm.numThreads = 1;
  loaded.env.logLevel = "error";
  return loaded;
}

async function open(model: string | Uint8Array): Promise<Session> {
  const { InferenceSession: sessions } = await load();
  const bytes = typeof model === "string" ? readFileSync(model) : model;
  // This binding does not say what inputs are; the file does. Loaded only here: reading ONNX files is no part of training.
  const { parseModel } = await import("../../serde/index.js");
  const { graph } = parseModel(bytes, typeof model === "string" ? { file: model } : {});
  let session: WasmSession;
  try {
    session = await sessions.create(new Uint8Array(bytes), { executionProviders: ["wasm"], logSeverityLevel: 4 });
  } catch (error) {
    throw readable(error);
  }
  const inputMetadata = session.inputNames.map((name): InferenceSession.ValueMetadata => {
    const value = must(graph.input(name), `input "${name}"`);
    return { name, isTensor: true, type: value.dtype as Tensor.Type, shape: [...value.dims] };
  });
  return {
    inputNames: session.inputNames,
    outputNames: session.outputNames,
    inputMetadata,
    run: async (feeds: Readonly<Record<string, Tensor>>, fetches?: unknown) => {
      const wanted = (fetches ?? {}) as Readonly<Record<string, Tensor | null>>;
      const names = Object.keys(wanted).length > 0 ? Object.keys(wanted) : session.outputNames;
      let results: Record<string, Tensor>;
      try {
        results = await session.run(feeds, names);
      } catch (error) {
        throw readable(error);
      }
      for (const [name, target] of Object.entries(wanted)) {
        // This binding returns new tensors, and does not write into those given.
        if (target) (target.data as Float32Array).set(must(results[name], name).data as Float32Array);
      }
      return results;
    },
    release: () => session.release(),
  };
}

/**
 * ONNX Runtime 1.19.2 in WebAssembly, the last build with training kernels: it runs unlowered training graphs, with the
 * operators of com.microsoft that the stock runtime lacks, and packages too. One thread.
 */
export const provider: Provider = {
  name: "training-wasm",
  config: () => "cpu",
  open,
  hint: "the package onnxruntime-web-training (onnxruntime-web 1.19.2) is not installed",
};
