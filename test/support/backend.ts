import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { shared } from "./root.js";

const release = "onnx-backend-test-data-v1.22.0";

/**
 * The folder `onnx/backend/test/data` of ONNX's release, unpacked once into the temporary folder of this machine; null
 * where the shared data is absent or cannot be unpacked, and then it says so.
 */
export function backendData(): string | null {
  const archive = shared(`onnx/${release}.tar.xz`);
  const skip = (why: string): null => {
    console.log(`      skipped: ${why}`);
    return null;
  };
  if (!archive) return skip("../shared/data/onnx is absent");
  const folder = join(tmpdir(), `curvsam-${release}`);
  if (!existsSync(folder)) {
    const draft = mkdtempSync(`${folder}-`);
    try {
      execFileSync("tar", ["xJf", archive, "-C", draft], { stdio: "ignore" });
    } catch {
      rmSync(draft, { recursive: true });
      return skip("no tar here that unpacks .tar.xz");
    }
    try {
      renameSync(draft, folder);
    } catch (error) {
      // Another run may have finished first.
      if (!existsSync(folder)) throw error;
      rmSync(draft, { recursive: true });
    }
  }
  return join(folder, "onnx", "backend", "test", "data");
}

/** Folders of the cases of one suite: `node`, `simple`, … */
export const casesOf = (data: string, suite: string): string[] =>
  readdirSync(join(data, suite))
    .sort()
    .map((name) => join(data, suite, name));
