import { cpus } from "node:os";
import type { JsonValue } from "../util/json.js";
import { version, versionOf } from "../util/version.js";

/** A word as a shell takes it. */
const quoted = (word: string): string => (/^[\w./:=,@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);

/** What a run's log says of its making: the command as it was typed, what ran it, and the names of the classes. */
export function aboutRun(classes?: readonly string[]): Record<string, JsonValue> {
  return {
    command: ["curvsam", ...process.argv.slice(2)].map(quoted).join(" "),
    environment: {
      curvsam: version,
      "onnxruntime-node": versionOf("onnxruntime-node"),
      node: process.versions.node,
      platform: `${process.platform} ${process.arch}`,
      processor: cpus()[0]?.model ?? "unknown",
    },
    ...(classes && { classes: [...classes] }),
  };
}
