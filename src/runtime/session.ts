import { existsSync } from "node:fs";
import { basename } from "node:path";
import { InferenceSession } from "onnxruntime-node";
import { check, UserError } from "../util/assert.js";
import type { Sizes } from "./batch.js";
import type { SessionOptions } from "./options.js";
import type { Session } from "./providers/provider.js";

const settings = (
  { provider, deviceId, threads, level }: SessionOptions,
  hasArena = false,
): InferenceSession.SessionOptions => ({
  executionProviders: [provider.config(deviceId)],
  intraOpNumThreads: threads,
  graphOptimizationLevel: level,
  // Halves the peak at no cost in speed: the pattern allocates a second full block at the second run.
  enableMemPattern: false,
  // An arena never shrinks: it would stand beside the copies of the outputs that the binding makes when a run has ended.
  enableCpuMemArena: hasArena,
  // Errors come as exceptions; the runtime would write them to stderr as well.
  logSeverityLevel: 4,
});

/** `y = Identity(x)`: what a provider is tried with. */
const probe = Buffer.from(
  "CAoSADo3ChAKAXgSAXkiCElkZW50aXR5EgFnWg8KAXgSCgoICAESBAoCCAFiDwoBeRIKCggIARIECgIIAUIECgAQFQ==",
  "base64",
);

/** The runtime's complaint as one line. */
export const reasonOf = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).split("\n")[0]?.trim() ?? "";

/** Tries the provider on a graph of one node; a `UserError` says why it cannot be used and what to do. */
export async function requireProvider(options: SessionOptions): Promise<void> {
  try {
    const { provider } = options;
    const session = provider.open
      ? await provider.open(new Uint8Array(probe))
      : await InferenceSession.create(new Uint8Array(probe), settings(options));
    await session.release();
  } catch (error) {
    const { name, hint } = options.provider;
    throw new UserError(`provider "${name}" cannot be used here: ${hint}; or use cpu (${reasonOf(error)})`);
  }
}

/** Opens the graph in file `path`, for `sizes` of the dynamic dimensions; a `UserError` names the file. */
export async function openSession(path: string, options: SessionOptions, sizes: Sizes): Promise<Session> {
  check(existsSync(path), `${path}: the package lacks this graph; run curvsam patch again`);
  try {
    if (options.provider.open) return await options.provider.open(path);
    if (options.lowered !== undefined) {
      // Loaded only here: reading ONNX files is no part of training.
      const { lowerForCpu } = await import("../lower/cpu.js");
      const file = await lowerForCpu(path, options.lowered, sizes, { overwrites: true });
      return await openLowered(file, options);
    }
    const usual = settings(options);
    const config = await options.provider.configFor?.(path);
    return await InferenceSession.create(path, config ? { ...usual, executionProviders: [config] } : usual);
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(`${path}: ONNX Runtime cannot open it: ${reasonOf(error)}`);
  }
}

/** Opens the lowered graph in file `path` as it is; one that `hasArena` keeps the memory of its nodes for those that follow. */
export const openLowered = (path: string, options: SessionOptions, hasArena = false): Promise<Session> =>
  InferenceSession.create(path, settings({ ...options, level: "disabled" }, hasArena));

/** Opens a part of the graph in file `path`, which is in memory. */
export async function openPart(model: Uint8Array, path: string, options: SessionOptions): Promise<Session> {
  try {
    return await InferenceSession.create(model, settings(options));
  } catch (error) {
    throw new UserError(`${path}: ONNX Runtime cannot open a part of it: ${reasonOf(error)}`);
  }
}

/** An error of a run, as one line that names the graph. */
export function runError(path: string, error: unknown): UserError {
  const reason = reasonOf(error);
  const hint = /out of (data )?bounds|out of range/i.test(reason)
    ? "; a token, a position or a label has no row in its table: use the model's own tokenizer, or fewer tokens"
    : "";
  return new UserError(`${basename(path)}: ONNX Runtime failed in it: ${reason}${hint}`);
}
