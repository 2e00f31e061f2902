import type { Batch, BatchSource } from "../data/batch.js";
import type { JsonValue } from "../util/json.js";

/** The micro-batches of one step. */
export interface Group {
  /** Empty where the epoch was over already. */
  batches: Batch[];
  /** Whether the epoch ends with it. */
  endOfEpoch: boolean;
  /** The source's state right after it: what a checkpoint resumes from. */
  after: JsonValue;
}

/**
 * Groups a source's batches into steps of `size` micro-batches, and reads one group ahead, so that batches are made while
 * the worker computes.
 */
export class Groups {
  private ahead: Promise<Group> | null = null;
  private returned: Group[] = [];

  constructor(
    private readonly source: BatchSource,
    private readonly size: number,
  ) {}

  /** Steps in an epoch. */
  get perEpoch(): number {
    return Math.ceil(this.source.batchesPerEpoch / this.size);
  }

  async next(): Promise<Group> {
    const before = this.returned.shift();
    if (before) return before;
    const group = await (this.ahead ?? this.read());
    this.ahead = this.read();
    // The error is reported by the call that would have used the group.
    this.ahead.catch(() => undefined);
    return group;
  }

  /** Takes groups back: they come next, in this order. */
  putBack(groups: readonly Group[]): void {
    this.returned = [...groups, ...this.returned];
  }

  /** Waits for what is being read ahead, so that nobody reads on after the end. */
  async settle(): Promise<void> {
    await this.ahead?.catch(() => undefined);
  }

  private async read(): Promise<Group> {
    const batches: Batch[] = [];
    while (batches.length < this.size) {
      const batch = await this.source.next();
      if (!batch) return { batches, endOfEpoch: true, after: this.source.state() };
      batches.push(batch);
    }
    return { batches, endOfEpoch: false, after: this.source.state() };
  }
}
