import { existsSync } from "node:fs";
import { join } from "node:path";
import { UserError } from "../../util/assert.js";
import { makeFolder, writeFileAtomically } from "../../util/files.js";
import type { GlueTask, Part } from "./tasks.js";

const dataset = "nyu-mll/glue";

/**
 * Fetches the Parquet files of `parts` from the Hugging Face hub into `<folder>/<task>/`, as they are called there. `hub`: another
 * address of the hub (default: the environment's HF_ENDPOINT, else the public one). Files that are there stay.
 */
export async function downloadTask(
  task: GlueTask,
  parts: readonly Part[],
  folder: string,
  { hub = process.env["HF_ENDPOINT"], each }: { hub?: string | undefined; each?: (path: string) => void } = {},
): Promise<void> {
  const { downloadFile } = await import("@huggingface/hub");
  const target = join(folder, task.name);
  makeFolder(target);
  for (const { split } of parts) {
    const name = `${split}-00000-of-00001.parquet`;
    const path = `${task.name}/${name}`;
    if (existsSync(join(target, name))) continue;
    let blob: Blob | null;
    try {
      blob = await downloadFile({
        repo: { type: "dataset", name: dataset },
        path,
        ...(hub !== undefined && hub !== "" && { hubUrl: hub.replace(/\/$/, "") }),
      });
    } catch (error) {
      const reason = error instanceof Error ? (error.message.split("\n")[0] ?? "") : String(error);
      throw new UserError(
        `${dataset}/${path}: the hub cannot be reached (${reason}); download the data yourself and name its folder with --data_dir`,
      );
    }
    if (!blob)
      throw new UserError(`${dataset}/${path}: the hub does not have this file; name the data with --data_dir`);
    const bytes = new Uint8Array(await blob.arrayBuffer());
    writeFileAtomically(join(target, name), bytes);
    each?.(path);
  }
}
