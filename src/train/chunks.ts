import type { Manifest } from "../format/manifest.js";
import type { Feeds } from "../runtime/batch.js";
import { cyclePeriod } from "../runtime/cycle.js";
import type { StepsRoom } from "../runtime/engine.js";
import { renewedBytes } from "../runtime/memory.js";
import type { PackageRuntime } from "../runtime/runtime.js";
import { check, UserError } from "../util/assert.js";
import { gigabytes } from "../util/bytes.js";

/** How many steps are one run of the runtime: so many, as many as pay and fit, or each by itself. */
export type ChunkOption = number | "auto" | "off";

/**
 * Longest run that `auto` makes: in steps and in seconds, as the log, the progress bar and Ctrl-C wait for its end; in what its
 * stacked inputs (batches, probes, masks) take of memory, as a share of what a run of one step takes, or in bytes that no machine
 * misses; and in bytes of parameters and state that steps renew. A Loop has these three times, where a step by itself writes over
 * them: with more bytes, it is little faster (docs/CHUNKS.md).
 */
const most = { steps: 64, seconds: 5, share: 1 / 8, stacked: 2 ** 25, renewed: 2 ** 29 };
/** Steps below which a run saves too little for the memory that it takes. */
const least = 2;
/** Steps of the first run, which tells how long a step takes. */
const firstRun = 4;

/** Steps of a run that nothing cuts short: what must happen between steps should not come more often. */
export const usualRun = (chunk: ChunkOption): number => (chunk === "off" ? 1 : chunk === "auto" ? 16 : chunk);

/** Refuses a number of steps that no run can have: `stepsPerEpoch`, as runs end with the epoch. */
export function checkChunk(
  manifest: Manifest,
  { chunk, accumulate, stepsPerEpoch }: { chunk: ChunkOption; accumulate: number; stepsPerEpoch: number },
): void {
  if (typeof chunk !== "number") {
    check(["auto", "off"].includes(chunk), `chunk: "${chunk}"; a number of steps, auto or off expected`);
    return;
  }
  check(Number.isInteger(chunk) && chunk >= 1, `chunk: ${chunk}; a whole number of steps from 1 on expected`);
  check(accumulate === 1, `chunk: steps of ${accumulate} micro-batches are taken one by one; leave one of both out`);
  check(
    chunk <= stepsPerEpoch,
    `chunk: ${chunk} steps, and an epoch has ${stepsPerEpoch}: runs end with it; use ${stepsPerEpoch} at most`,
  );
  const period = cyclePeriod(manifest);
  check(period !== null, "chunk: the schedule of this package has graphs that run between steps; leave it out");
  check(
    chunk === 1 || chunk >= period,
    `chunk: ${chunk} steps, and the schedule of this package goes in cycles of ${period}; use a multiple of that`,
  );
}

/** Decides how many of the next steps are one run. */
export class Chunks {
  private room: StepsRoom | null | undefined;
  private secondsPerStep: number | null = null;
  /** Steps that are still to be taken one by one. */
  private alone = 0;

  constructor(
    private readonly runtime: PackageRuntime,
    private readonly option: ChunkOption,
    private readonly note: (line: string) => void,
  ) {}

  /** Steps in a period of the schedule. */
  get period(): number {
    return this.room?.period ?? 1;
  }

  /**
   * Steps of the next run, whole periods of the schedule; 1: the next step is taken by itself. `step` were taken so far, `left`
   * may follow before something else is due; `batch` is the next.
   */
  async next(step: number, left: number, batch: Feeds): Promise<number> {
    if (this.option === "off" || this.option === 1) return 1;
    if (this.alone > 0) {
      this.alone--;
      return 1;
    }
    if (this.room === undefined) this.room = await this.findRoom(batch);
    if (this.room === null || step % this.period !== 0) return 1;
    const whole = (steps: number): number => this.period * Math.floor(steps / this.period);
    const steps = Math.min(whole(left), Math.max(whole(this.wanted(this.room)), this.period));
    return steps < 2 ? 1 : steps;
  }

  /** A run of so many steps took so long. */
  took(steps: number, seconds: number): void {
    this.secondsPerStep = seconds / steps;
  }

  /** A run of so many steps was taken back. */
  takenBack(steps: number): void {
    this.alone = steps;
  }

  private wanted({ steps }: StepsRoom): number {
    if (typeof this.option === "number") return this.option;
    const { secondsPerStep } = this;
    const quick = secondsPerStep === null ? firstRun : Math.ceil(most.seconds / Math.max(1e-6, secondsPerStep));
    return Math.min(most.steps, quick, steps);
  }

  private async findRoom(batch: Feeds): Promise<StepsRoom | null> {
    const { option, runtime } = this;
    const { manifest, provider } = runtime;
    // Elsewhere than on the CPU, a step by itself carries parameters and state there and back.
    const isLean = provider === "cpu" && (manifest.recompute || renewedBytes(manifest) > most.renewed);
    if (option === "auto" && isLean) return null;
    const room = await runtime.roomForSteps(batch);
    if (option === "auto") {
      // Half of what is free stays so: batches grow, and others want some.
      if (!room) return null;
      const { available, once, period } = room;
      const perStep = Math.max(1, room.perStep);
      const modest = Math.max(period, Math.floor(Math.max(most.share * once, most.stacked) / perStep));
      const steps = Math.min(Math.floor((available / 2 - once) / perStep), modest);
      return steps >= Math.max(least, period) ? { ...room, steps } : null;
    }
    if (!room) {
      this.note(
        "steps are taken one by one: several in one run take the cpu provider with graphs that are lowered, or cuda",
      );
      return null;
    }
    const steps = Number(option);
    if (steps > room.steps) {
      const fits = room.period * Math.floor(room.steps / room.period);
      throw new UserError(
        `chunk: ${steps} steps in one run need about ${gigabytes(room.once + steps * room.perStep)} beside the parameters and ` +
          `state, ${gigabytes(room.available)} are free; ${fits > 1 ? `use ${fits} at most, or` : "use"} smaller batches`,
      );
    }
    return room;
  }
}
