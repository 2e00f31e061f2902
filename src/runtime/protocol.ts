import { UserError } from "../util/assert.js";
import type { Feeds } from "./batch.js";
import type { Counters, EvaluationResult, StepResult, StepsResult, StepsRoom } from "./engine.js";
import type { Hyper } from "./feeder.js";
import type { Driver, EngineOptions } from "./options.js";
import type { HostTensor } from "./tensors.js";

/** What the worker can be asked for: the engine's methods, by name. */
export interface Calls {
  step: { takes: [readonly Feeds[], Hyper, Driver | undefined]; gives: StepResult };
  roomForSteps: { takes: [Feeds]; gives: StepsRoom | null };
  steps: { takes: [readonly Feeds[], readonly Hyper[]]; gives: StepsResult };
  evaluate: { takes: [Feeds]; gives: EvaluationResult };
  forward: { takes: [Feeds]; gives: Record<string, HostTensor> };
  read: { takes: [readonly string[]]; gives: Record<string, HostTensor> };
  write: { takes: [Readonly<Record<string, HostTensor>>]; gives: unknown };
  getCounters: { takes: []; gives: Counters };
  saveState: { takes: [string]; gives: string };
  loadState: { takes: [string]; gives: Counters };
  saveWeights: { takes: [string]; gives: unknown };
  close: { takes: []; gives: unknown };
}

export type CallName = keyof Calls;
export type Handlers = {
  [N in CallName]: (...args: Calls[N]["takes"]) => Promise<Calls[N]["gives"]> | Calls[N]["gives"];
};

/** What the worker is started with. */
export interface WorkerSetup {
  folder: string;
  options: EngineOptions;
}

export interface Request {
  id: number;
  call: CallName;
  args: unknown[];
}

/** An error on its way between threads. */
export interface PlainError {
  user: boolean;
  message: string;
  stack: string | undefined;
}

/** The worker says `opened` once the package is open, then answers requests. */
export type Response =
  | { kind: "opened" }
  | { kind: "failed"; error: PlainError }
  | { kind: "result"; id: number; value: unknown }
  | { kind: "error"; id: number; error: PlainError };

export const toPlain = (error: unknown): PlainError => ({
  user: error instanceof UserError,
  message: error instanceof Error ? error.message : String(error),
  stack: error instanceof Error ? error.stack : undefined,
});

export function fromPlain({ user, message, stack }: PlainError): Error {
  const error = user ? new UserError(message) : new Error(message);
  if (stack !== undefined) error.stack = stack;
  return error;
}

/** The buffers of `tensors`, to be moved rather than copied: only where a tensor fills its buffer. */
export function buffersOf(tensors: Iterable<HostTensor>): ArrayBuffer[] {
  const buffers = new Set<ArrayBuffer>();
  for (const { data } of tensors) {
    const { buffer } = data;
    if (buffer instanceof ArrayBuffer && buffer.byteLength === data.byteLength) buffers.add(buffer);
  }
  return [...buffers];
}
