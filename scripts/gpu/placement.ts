import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { InferenceSession } from "onnxruntime-node";

/** Nodes that ran, by operator: on the GPU's provider and on the CPU's. */
export type Placement = Record<string, { gpu: number; cpu: number }>;

/** What the runtime adds to move tensors between host and device. */
const copies = ["MemcpyToHost", "MemcpyFromHost"];

interface ProfileEvent {
  cat: string;
  name: string;
  args?: { op_name?: string; provider?: string; node_index?: string };
}

/** Counts each node of the profiles in `folder` once, however often it ran. */
function readPlacement(folder: string): Placement {
  const placement: Placement = {};
  for (const file of readdirSync(folder)) {
    const seen = new Set<string>();
    for (const { cat, name, args } of JSON.parse(readFileSync(join(folder, file), "utf8")) as ProfileEvent[]) {
      if (cat !== "Node" || !args?.op_name || !args.provider) continue;
      const key = `${args.node_index ?? ""} ${name}`;
      if (seen.has(key)) continue;
      seen.add(key);
      if (copies.includes(args.op_name)) continue;
      const counts = (placement[args.op_name] ??= { gpu: 0, cpu: 0 });
      counts[args.provider === "CPUExecutionProvider" ? "cpu" : "gpu"]++;
    }
  }
  return placement;
}

export function addPlacement(into: Placement, more: Placement): void {
  for (const [op, { gpu, cpu }] of Object.entries(more)) {
    const counts = (into[op] ??= { gpu: 0, cpu: 0 });
    counts.gpu += gpu;
    counts.cpu += cpu;
  }
}

export const nodesOn = (placement: Placement, side: "gpu" | "cpu"): number =>
  Object.values(placement).reduce((n, counts) => n + counts[side], 0);

type Create = (model: string | Uint8Array, options: InferenceSession.SessionOptions) => Promise<InferenceSession>;

/**
 * Runs `body`, in which every session that is not the CPU's writes the runtime's profile, and a WebGPU one validates all
 * that it does. Returns what `body` does, and where the nodes ran.
 */
export async function observed<T>(body: () => Promise<T>): Promise<{ value: T; placement: Placement }> {
  const folder = mkdtempSync(join(tmpdir(), "curvsam-placement-"));
  const original = InferenceSession.create.bind(InferenceSession) as Create;
  let count = 0;
  const create: Create = async (model, options) => {
    const [first = "cpu"] = options.executionProviders ?? [];
    const config = typeof first === "string" ? { name: first } : first;
    if (config.name === "cpu") return original(model, options);
    const validated = config.name === "webgpu" ? { ...config, validationMode: "full" } : config;
    const profiles = join(folder, String(count++));
    mkdirSync(profiles);
    const session = await original(model, {
      ...options,
      executionProviders: [validated],
      enableProfiling: true,
      profileFilePrefix: join(profiles, "profile"),
    });
    const release = session.release.bind(session);
    session.release = () => {
      session.endProfiling();
      return release();
    };
    return session;
  };
  Object.assign(InferenceSession, { create });
  try {
    const value = await body();
    const placement: Placement = {};
    for (const profiles of readdirSync(folder)) addPlacement(placement, readPlacement(join(folder, profiles)));
    return { value, placement };
  } finally {
    Object.assign(InferenceSession, { create: original });
    rmSync(folder, { recursive: true, force: true });
  }
}
