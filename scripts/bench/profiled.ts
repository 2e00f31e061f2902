import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { InferenceSession } from "onnxruntime-node";

export interface ProfileEvent {
  name: string;
  /** When it began, and how long it took, in microseconds. */
  ts: number;
  dur: number;
}

/**
 * From here on every session that this process opens writes the runtime's profile. The returned function ends them and gives
 * their events by graph, `step` for step.onnx or a lowered step-….onnx.
 */
export function profileSessions(): () => Map<string, ProfileEvent[]> {
  const folder = mkdtempSync(join(tmpdir(), "curvsam-profile-"));
  const opened: { graph: string; session: InferenceSession }[] = [];
  const create = InferenceSession.create.bind(InferenceSession) as (
    model: string | Uint8Array,
    options: InferenceSession.SessionOptions,
  ) => Promise<InferenceSession>;
  const profiled = async (
    model: string | Uint8Array,
    options: InferenceSession.SessionOptions,
  ): Promise<InferenceSession> => {
    // Lowering opens sessions as well, to write a file, and so does the trial of a provider: they are released at once.
    if (typeof model !== "string" || options.optimizedModelFilePath !== undefined) return create(model, options);
    const extra = { enableProfiling: true, profileFilePrefix: join(folder, `${opened.length}_`) };
    const session = await create(model, { ...options, ...extra });
    opened.push({ graph: basename(model, ".onnx").replace(/-[0-9a-f]{24}$/, ""), session });
    return session;
  };
  Object.assign(InferenceSession, { create: profiled });
  return () => {
    const events = opened.map(({ graph, session }, i) => {
      session.endProfiling();
      const file = readdirSync(folder).find((name) => name.startsWith(`${i}__`)) ?? "";
      return [graph, JSON.parse(readFileSync(join(folder, file), "utf8")) as ProfileEvent[]] as const;
    });
    rmSync(folder, { recursive: true });
    return new Map(events);
  };
}
