import { SingleBar } from "cli-progress";

/** What the bar shows of a step. */
export interface ProgressState {
  step: number;
  epoch: number;
  epochs: number;
  loss: number;
}

/** A progress bar on stderr, which is drawn only where someone watches. */
export class Progress {
  private readonly bar: SingleBar | null;

  constructor(shown: boolean, total: number, from: number) {
    this.bar =
      shown && process.stderr.isTTY
        ? new SingleBar({
            format: "{label} [{bar}] {value}/{total} steps | loss {loss} | {eta_formatted} left",
            stream: process.stderr,
            barsize: 24,
            hideCursor: true,
            gracefulExit: false,
          })
        : null;
    this.bar?.start(total, from, { label: "epoch 1", loss: "-" });
  }

  update({ step, epoch, epochs, loss }: ProgressState): void {
    this.bar?.update(step, { label: `epoch ${Math.min(epoch + 1, epochs)}/${epochs}`, loss: loss.toFixed(4) });
  }

  stop(): void {
    this.bar?.stop();
  }
}
