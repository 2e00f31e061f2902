/** What a process of steps took, in bytes and milliseconds. */
export interface Taken {
  /** VmHWM. */
  peak: number;
  /** The resident set once the package was open, less parameters and state: Node, the runtime, what was imported. */
  libraries: number;
  /** Parameters and state. */
  open: number;
  /** The estimate that the runtime refuses steps by. */
  buffers: number;
  sessions: number;
  run: number;
  /** Median over the steps but for the first, which opens graphs; of one step: its own. */
  ms: number;
  loss: number;
}

/** Threads of the runtime. */
export const threads = 2;
