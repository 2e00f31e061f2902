import type { Manifest } from "../format/manifest.js";
import { UserError } from "../util/assert.js";
import { gigabytes } from "../util/bytes.js";
import type { Sizes } from "./batch.js";
import { openBytes } from "./memory.js";
import type { StepKind } from "./step_memory.js";

const anyway = "--ignore-memory (ignoreMemory) goes on regardless";

/** Refuses to open a package whose parameters and state the machine, or the process's limit, has no room for. */
export function checkRoomToOpen(folder: string, manifest: Manifest): void {
  const [needed, free] = [openBytes(manifest), process.availableMemory()];
  if (needed <= free) return;
  throw new UserError(
    `${folder}: parameters and state take ${gigabytes(needed)}, ${gigabytes(free)} are free; ` +
      `patch the model with an optimizer of less state, or free some memory; ${anyway}`,
  );
}

/** Refuses steps on batches of these sizes where memory will not suffice, before the first is taken. */
export async function checkRoomForSteps(
  folder: string,
  manifest: Manifest,
  sizes: Sizes,
  kind: StepKind,
): Promise<void> {
  // Loaded only here: reading ONNX files is no part of training.
  const { stepMemory } = await import("./step_memory.js");
  const { buffers, sessions, run } = await stepMemory(folder, manifest, sizes, kind);
  const [needed, free] = [buffers + sessions + run, process.availableMemory()];
  if (needed <= free) return;
  const batch = [...sizes].map(([name, size]) => `${name} ${size}`).join(", ");
  const cure =
    run > buffers
      ? "use smaller batches (and accumulate them), shorter inputs, or patch with recompute"
      : "patch with a base of less state (sgd), freeze parameters, or use a machine with more memory";
  throw new UserError(
    `memory: a step (${batch}) needs about ${gigabytes(needed)} beside parameters and state: ${gigabytes(run)} for ` +
      `activations and outputs, ${gigabytes(buffers)} for gradients and new values; ${gigabytes(free)} are free; ${cure}; ${anyway}`,
  );
}
