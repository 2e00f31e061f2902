import type { WriteStream } from "node:tty";
import { SingleBar } from "cli-progress";

/** What the bar shows of a step. */
export interface ProgressState {
  step: number;
  epoch: number;
  epochs: number;
  loss: number;
  /** Examples of the step, and the seconds that it took. */
  examples: number;
  seconds: number;
}

/** `45s`, `3m05s`, `2h07m`. */
export function duration(seconds: number): string {
  const whole = Math.round(seconds);
  const two = (n: number): string => String(n).padStart(2, "0");
  if (whole < 60) return `${whole}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m${two(whole % 60)}s`;
  return `${Math.floor(whole / 3600)}h${two(Math.floor((whole % 3600) / 60))}m`;
}

/**
 * How fast training goes. `examplesPerSecond` is of the last steps alone; `secondsLeft` goes by the clock since the start of this run,
 * so that evaluations and checkpoints are in it.
 */
export class Speed {
  private readonly recent: { examples: number; seconds: number }[] = [];
  private first: number | null = null;

  constructor(
    private readonly total: number,
    private readonly started: number,
    private readonly window = 32,
  ) {}

  /** After step `step` of `examples` that took `seconds`; `now` in seconds like `started`. */
  step(step: number, examples: number, seconds: number, now: number) {
    this.first ??= step - 1;
    this.recent.push({ examples, seconds });
    if (this.recent.length > this.window) this.recent.shift();
    const sum = (of: "examples" | "seconds"): number => this.recent.reduce((all, each) => all + each[of], 0);
    const done = Math.max(1, step - this.first);
    return {
      examplesPerSecond: sum("examples") / Math.max(1e-9, sum("seconds")),
      secondsLeft: ((now - this.started) / done) * Math.max(0, this.total - step),
    };
  }
}

const clock = (): number => performance.now() / 1000;

/** A progress bar on `stream`, which is drawn only where someone watches. */
export class Progress {
  private readonly bar: SingleBar | null;
  private readonly speed: Speed;

  constructor(stream: WriteStream | null, total: number, from: number) {
    this.bar = stream?.isTTY
      ? new SingleBar({
          format: "{label} [{bar}] {value}/{total} steps | loss {loss} | {speed} examples/s | {left} left",
          stream,
          barsize: 24,
          hideCursor: true,
          gracefulExit: false,
        })
      : null;
    this.speed = new Speed(total, clock());
    this.bar?.start(total, from, { label: "epoch 1", loss: "-", speed: "-", left: "-" });
  }

  update({ step, epoch, epochs, loss, examples, seconds }: ProgressState): void {
    if (!this.bar) return;
    const { examplesPerSecond, secondsLeft } = this.speed.step(step, examples, seconds, clock());
    this.bar.update(step, {
      label: `epoch ${Math.min(epoch + 1, epochs)}/${epochs}`,
      loss: loss.toFixed(4),
      speed: examplesPerSecond < 100 ? examplesPerSecond.toPrecision(3) : examplesPerSecond.toFixed(0),
      left: duration(secondsLeft),
    });
  }

  stop(): void {
    this.bar?.stop();
  }
}
