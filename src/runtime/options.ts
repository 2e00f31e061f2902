import { availableParallelism } from "node:os";
import { check } from "../util/assert.js";
import { didYouMean } from "../util/suggest.js";
import { providers } from "./providers/index.js";
import type { Provider } from "./providers/provider.js";

const levels = ["disabled", "basic", "extended", "all"] as const;
const drivers = ["fused", "phases"] as const;
/** Whether a step is one graph, or taken phase by phase. */
export type Driver = (typeof drivers)[number];

/** How a package is opened. ONNX Runtime ignores session options that it does not know; these are checked. */
export interface EngineOptions {
  /** cpu (default), cuda, dml, webgpu or training-wasm. */
  provider?: string | undefined;
  /** Which GPU, for cuda and dml. */
  deviceId?: number | undefined;
  /** Threads within an operator; default: the cores that this process may use. Results depend on it bit for bit. */
  threads?: number | undefined;
  /** Graph optimization level; default `all`. */
  level?: (typeof levels)[number] | undefined;
  /**
   * A folder for graphs that are optimised once and ordered for memory, and opened as they are from then on: faster to
   * open the next time. CPU only; default: none, graphs are opened at `level`.
   */
  lowered?: string | undefined;
  /** Seed of every random input; default 0. */
  seed?: number | undefined;
  /** `phases` takes the step apart, with less memory at a time; several micro-batches always go that way. */
  driver?: Driver | undefined;
  /** Go on where the memory that is free will not suffice, by the estimate before the first step; default false: refuse. */
  ignoreMemory?: boolean | undefined;
}

const known = [
  "provider",
  "deviceId",
  "threads",
  "level",
  "lowered",
  "seed",
  "driver",
  "ignoreMemory",
] as const satisfies (keyof EngineOptions)[];

/** What sessions are opened with. */
export interface SessionOptions {
  provider: Provider;
  deviceId: number | undefined;
  threads: number;
  level: (typeof levels)[number];
  lowered: string | undefined;
}

/** Options with their defaults filled in. */
export interface ResolvedOptions extends SessionOptions {
  seed: number;
  driver: Driver;
  ignoreMemory: boolean;
}

/** Checks every option, unknown ones too, and fills in the defaults. */
export function resolveOptions(options: EngineOptions): ResolvedOptions {
  for (const key of Object.keys(options)) {
    check(
      (known as readonly string[]).includes(key),
      () => `option "${key}" is not known; known are ${known.join(", ")}${didYouMean(key, known)}`,
    );
  }
  const {
    provider = "cpu",
    deviceId,
    threads = availableParallelism(),
    level = "all",
    lowered,
    seed = 0,
    driver = "fused",
    ignoreMemory = false,
  } = options;
  const found = providers.get(provider);
  check(found, `provider "${provider}" is not known; use one of ${[...providers.keys()].join(", ")}`);
  check(Number.isInteger(threads) && threads > 0, `threads: ${threads}; a whole number from 1 on expected`);
  check(levels.includes(level), `level: "${level}"; one of ${levels.join(", ")} expected`);
  check(
    deviceId === undefined || (Number.isInteger(deviceId) && deviceId >= 0),
    `deviceId: ${deviceId}; a whole number from 0 on expected`,
  );
  check(
    lowered === undefined || provider === "cpu",
    `lowered: graphs are lowered for provider cpu only, this is ${provider}; leave it out`,
  );
  check(Number.isSafeInteger(seed), `seed: ${seed}; a whole number expected`);
  check(drivers.includes(driver), `driver: "${driver}"; one of ${drivers.join(", ")} expected`);
  return { provider: found, deviceId, threads, level, lowered, seed, driver, ignoreMemory };
}
