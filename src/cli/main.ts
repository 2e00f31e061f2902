#!/usr/bin/env node
import type { Context } from "./context.js";
import { exitCodeOf, exitCodes, messageOf } from "./failure.js";
import { program } from "./program.js";

const interruption = new AbortController();

const signals = ["SIGINT", "SIGTERM"] as const;

function interrupt(signal: NodeJS.Signals): void {
  if (interruption.signal.aborted) {
    // The signal itself ends the process, as shells expect: an exit would tear the runtime down in the midst of a run.
    for (const each of signals) process.removeAllListeners(each);
    process.kill(process.pid, signal);
  }
  interruption.abort();
}
for (const signal of signals) process.on(signal, interrupt);
// A run whose sweep is gone saves and stops too.
process.on("disconnect", () => interruption.abort());
process.channel?.unref();

for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    // A reader that has seen enough (`curvsam … | head`) is no reason to stop the work.
    if (error.code !== "EPIPE") throw error;
  });
}

const context: Context = {
  signal: interruption.signal,
  interactive: process.stderr.isTTY,
  print: (line) => void process.stdout.write(`${line}\n`),
  printJson: (value) => void process.stdout.write(`${JSON.stringify(value, null, 2)}\n`),
  note: (line) => void process.stderr.write(`${line}\n`),
  fail: () => {
    process.exitCode = exitCodes.failure;
  },
};

try {
  await program(context).parseAsync();
} catch (error) {
  process.exitCode = exitCodeOf(error);
  if (!interruption.signal.aborted) {
    const message = messageOf(error);
    if (message !== undefined) process.stderr.write(`curvsam: ${message}\n`);
    if (message !== undefined && process.env["CURVSAM_DEBUG"] && error instanceof Error) {
      process.stderr.write(`${error.stack ?? ""}\n`);
    }
  }
}
if (interruption.signal.aborted) process.exitCode = exitCodes.interrupted;
