import { SingleBar } from "cli-progress";

/** A bar on stderr over units of work whose number is known only as it goes on; drawn only where someone watches. */
export class WorkBar {
  private readonly bar: SingleBar | null;
  private started = false;

  constructor(
    shown: boolean,
    private readonly label: string,
  ) {
    this.bar =
      shown && process.stderr.isTTY
        ? new SingleBar({
            format: "{label} [{bar}] {value}/{total} | {eta_formatted} left",
            stream: process.stderr,
            barsize: 24,
            hideCursor: true,
            gracefulExit: false,
            clearOnComplete: true,
          })
        : null;
  }

  update(done: number, total: number): void {
    if (!this.started) this.bar?.start(total, 0, { label: this.label });
    this.started = true;
    this.bar?.update(done);
  }

  stop(): void {
    this.bar?.stop();
  }
}
