import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { check, UserError } from "../util/assert.js";
import { onFile } from "../util/files.js";

/** Values over steps, in their order. */
export type Track = [step: number, value: number][];

/** How a run was made, as far as its log says. */
const aboutSchema = z.object({
  /** The command, as it was typed. */
  command: z.string().nullable().default(null),
  /** Versions and the machine. */
  environment: z.record(z.string(), z.string()).default({}),
  /** Names of the classes, in the order of their ids. */
  classes: z.array(z.string()).nullable().default(null),
});

/** What a run's event log holds. */
export interface RunLog {
  path: string;
  /** The first line's settings: epochs, seed, threads and so on. */
  start: Readonly<Record<string, unknown>>;
  about: z.output<typeof aboutSchema>;
  /** Numbers of every step that was taken, by name. */
  steps: Map<string, Track>;
  /** Numbers of every evaluation, by name. */
  evaluations: Map<string, Track>;
  /** Numbers of every measurement of sharpness, by name. */
  sharpness: Map<string, Track>;
  /** The mean curvature of every tensor, by the kind of state and its name, and how many elements each has. */
  curvature: Map<string, Map<string, Track>>;
  elements: Readonly<Record<string, number>>;
  /** Examples of class i that the last evaluation took for class j, `[i][j]`. */
  confusion: { step: number; counts: number[][] } | null;
  /** Seconds trained, by step. */
  times: Map<number, number>;
  /** Steps, and seconds trained, at the last line. */
  lastStep: number;
  seconds: number;
  skipped: number;
  /** How many steps took which variant, skipped ones included. */
  variants: Map<string, number>;
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
    about: aboutSchema.parse({}),
    ...{ steps: new Map(), evaluations: new Map(), sharpness: new Map(), curvature: new Map(), times: new Map() },
    variants: new Map(),
    ...{ elements: {}, confusion: null, lastStep: 0, seconds: 0, skipped: 0, ended: null },
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

type Event = Readonly<Record<string, unknown>>;

function parse(line: string): Event | null {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null && "event" in value ? value : null;
  } catch {
    return null;
  }
}

const numbersSchema = z.record(z.string(), z.number().nullable()).catch({});
const countsSchema = z.array(z.array(z.number())).min(1);

function take(log: RunLog, event: Event): void {
  const step = Number(event["step"] ?? 0);
  const seconds = Number(event["seconds"] ?? 0);
  log.lastStep = Math.max(log.lastStep, step);
  log.seconds = Math.max(log.seconds, seconds);
  log.times.set(step, seconds);
  log.ended = event["event"] === "end" || event["event"] === "error" ? event["event"] : null;
  switch (event["event"]) {
    case "start": {
      const { about, elements, ...settings } = event;
      log.start = settings;
      log.about = aboutSchema.catch(log.about).parse(about);
      log.elements = Object.fromEntries(numbers(numbersSchema.parse(elements)));
      return;
    }
    case "step": {
      const variant = String(event["variant"]);
      log.variants.set(variant, (log.variants.get(variant) ?? 0) + 1);
      if (event["wasSkipped"] === true) log.skipped++;
      else extend(log.steps, step, measured(event));
      return;
    }
    case "evaluation": {
      extend(log.evaluations, step, measured(event));
      const counts = countsSchema.safeParse(event["confusion"]);
      if (counts.success) log.confusion = { step, counts: counts.data };
      return;
    }
    case "sharpness":
      return extend(log.sharpness, step, measured(event));
    case "curvature":
      return takeCurvature(log.curvature, step, event);
  }
}

const numbers = (values: Event): [string, number][] =>
  Object.entries(values).filter((entry): entry is [string, number] => typeof entry[1] === "number");

const measured = (event: Event): [string, number][] => numbers(event).filter(([name]) => !places.has(name));

/** Logs of CurvSAM alone do not say of what. */
function takeCurvature(kinds: RunLog["curvature"], step: number, { of = "curvature", mean }: Event): void {
  const kind = String(of);
  const tracks = kinds.get(kind) ?? new Map<string, Track>();
  extend(tracks, step, numbers(numbersSchema.parse(mean)));
  kinds.set(kind, tracks);
}

function extend(tracks: Map<string, Track>, step: number, values: readonly [string, number][]): void {
  for (const [name, value] of values) {
    const track = tracks.get(name) ?? [];
    track.push([step, value]);
    tracks.set(name, track);
  }
}
