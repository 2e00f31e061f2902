import { spawn, type ChildProcess } from "node:child_process";
import { join } from "node:path";
import { root } from "./root.js";

const main = join(root, "build", "src", "cli", "main.js");

export interface CliResult {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Runs the built command line; `started` may talk to the process while it lives. */
export function curvsam(
  args: readonly string[],
  options: { cwd?: string; env?: Record<string, string>; started?: (child: ChildProcess) => void } = {},
): Promise<CliResult> {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, CURVSAM_DEBUG: "", ...options.env };
    const child = spawn(process.execPath, [main, ...args], {
      cwd: options.cwd,
      env,
      stdio: ["ignore", "pipe", "pipe"],
    });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, stdout, stderr }));
    options.started?.(child);
  });
}
