import { closeSync, fstatSync, ftruncateSync, openSync } from "node:fs";
import type { JsonValue } from "../util/json.js";
import { onFile, writeAll } from "../util/files.js";

/** A line of the event log. `event` is start, resume, step, evaluation, checkpoint, or end; the rest depends on it. */
export type TrainEvent = { event: string } & Record<string, JsonValue>;

/** A log of one JSON object per line. A number that JSON cannot say (NaN, infinite) becomes null. */
export class EventLog {
  private fd: number | null;
  private length: number;

  /**
   * Opens `path`; a new run empties it. A resumed run gives the length that the log had at its checkpoint: what an
   * interrupted run wrote after that would come twice, and goes.
   */
  constructor(
    readonly path: string,
    resumeAt: number | null,
  ) {
    const { fd, length } = onFile(path, "write", () => {
      const fd = openSync(path, resumeAt === null ? "w" : "a+");
      const length = fstatSync(fd).size;
      if (resumeAt === null || length <= resumeAt) return { fd, length };
      ftruncateSync(fd, resumeAt);
      return { fd, length: resumeAt };
    });
    this.fd = fd;
    this.length = length;
  }

  /** Bytes written so far. */
  get size(): number {
    return this.length;
  }

  write(event: TrainEvent): void {
    const line = Buffer.from(`${JSON.stringify(event)}\n`);
    const { fd } = this;
    if (fd === null) return;
    onFile(this.path, "write", () => writeAll(fd, line));
    this.length += line.byteLength;
  }

  close(): void {
    if (this.fd !== null) closeSync(this.fd);
    this.fd = null;
  }
}
