import { readFileSync } from "node:fs";

/** Largest resident set of this process so far: VmHWM. */
export function peakBytes(): number {
  const line = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8"));
  return Number(line?.[1] ?? 0) * 1024;
}
