import { closeSync, existsSync, fstatSync, openSync, readSync } from "node:fs";
import { join } from "node:path";
import type { WriteStream } from "node:tty";
import { duration } from "../../train/progress.js";
import type { RunProcess } from "./process.js";

/** The last bytes of a log: its last line is in them. */
const tail = 4096;

/** A text of several lines that is drawn over itself on a terminal, every second. */
export class Board {
  private lines = 0;
  private readonly timer: NodeJS.Timeout;

  constructor(
    private readonly stream: WriteStream,
    private readonly text: () => string,
  ) {
    this.timer = setInterval(() => this.draw(), 1000);
    this.draw();
  }

  draw(): void {
    const { columns, rows } = this.stream;
    const lines = this.text()
      .trimEnd()
      .split("\n")
      .slice(0, Math.max(1, rows - 1))
      .map((line) => line.slice(0, columns - 1));
    this.clear();
    this.stream.write(lines.map((line) => `${line}\n`).join(""));
    this.lines = lines.length;
  }

  /** Takes it off the terminal. */
  close(): void {
    clearInterval(this.timer);
    this.clear();
  }

  private clear(): void {
    if (this.lines === 0) return;
    this.stream.moveCursor(0, -this.lines);
    this.stream.cursorTo(0);
    this.stream.clearScreenDown();
    this.lines = 0;
  }
}

/** `step 120, 3m05s`: where a run stands, by its log. */
export function standOf({ run, started }: RunProcess): string {
  const seconds = duration((Date.now() - started) / 1000);
  const step = lastStep(join(run.folder, "log.jsonl"));
  return step === null ? seconds : `step ${step}, ${seconds}`;
}

function lastStep(log: string): number | null {
  if (!existsSync(log)) return null;
  const fd = openSync(log, "r");
  try {
    const { size } = fstatSync(fd);
    const bytes = Buffer.alloc(Math.min(tail, size));
    readSync(fd, bytes, 0, bytes.length, size - bytes.length);
    const steps = [...bytes.toString("utf8").matchAll(/"event":"step","step":(\d+)/g)];
    return Number(steps.at(-1)?.[1] ?? NaN) || null;
  } finally {
    closeSync(fd);
  }
}
