import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { check, UserError } from "../util/assert.js";
import { onFile } from "../util/files.js";

/** Values over steps, in their order. */
export type Track = [step: number, value: number][];

/** What a run's event log holds. */
export interface RunLog {
  path: string;
  /** The first line's fields: epochs, seed, threads and so on. */
  start: Readonly<Record<string, unknown>>;
  /** Numbers of every step that was taken, by name. */
  steps: Map<string, Track>;
  /** Numbers of every evaluation, by name. */
  evaluations: Map<string, Track>;
  /** Steps, and seconds trained, at the last line. */
  lastStep: number;
  seconds: number;
  skipped: number;
  /** How the log ends: `end`, `error`, or null where it just stops. */
  ended: string | null;
}

/** Fields that say where a line stands, rather than what was measured. */
const places = new Set(["event", "step", "epoch", "seconds", "variant", "wasSkipped", "skipped"]);

/** Reads `log.jsonl`, or the one in a run's or a package's folder. A last line that was cut off is passed over. */
export function readRunLog(path: string): RunLog {
  const file = locate(path);
  const lines = onFile(file, "read", () => readFileSync(file, "utf8")).split("\n");
  const log: RunLog = {
    path: file,
    start: {},
    steps: new Map(),
    evaluations: new Map(),
    ...{ lastStep: 0, seconds: 0, skipped: 0, ended: null },
  };
  lines.forEach((line, i) => {
    if (line === "") return;
    const event = parse(line);
    if (event === null && i >= lines.length - 2) return;
    check(event, `${file} line ${i + 1}: it is not a line of an event log; give a run that curvsam train wrote`);
    take(log, event);
  });
  check(log.steps.size > 0, `${file}: it holds no step; there is nothing to report yet`);
  return log;
}

function locate(path: string): string {
  if (!existsSync(path) || !statSync(path).isDirectory()) return path;
  const found = [join(path, "log.jsonl"), join(path, "run", "log.jsonl")].find((each) => existsSync(each));
  if (found === undefined) throw new UserError(`${path}: no log.jsonl is there; name a run that curvsam train wrote`);
  return found;
}

function parse(line: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null && "event" in value ? value : null;
  } catch {
    return null;
  }
}

function take(log: RunLog, event: Readonly<Record<string, unknown>>): void {
  const step = Number(event["step"] ?? 0);
  log.lastStep = Math.max(log.lastStep, step);
  log.seconds = Math.max(log.seconds, Number(event["seconds"] ?? 0));
  log.ended = event["event"] === "end" || event["event"] === "error" ? event["event"] : null;
  if (event["event"] === "start") log.start = event;
  if (event["event"] === "step" && event["wasSkipped"] === true) log.skipped++;
  const into = event["event"] === "evaluation" ? log.evaluations : event["event"] === "step" ? log.steps : null;
  if (!into || event["wasSkipped"] === true) return;
  for (const [name, value] of Object.entries(event)) {
    if (places.has(name) || typeof value !== "number") continue;
    const track = into.get(name) ?? [];
    track.push([step, value]);
    into.set(name, track);
  }
}
