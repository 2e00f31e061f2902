// Writes graphs/: the emitted graphs of a 2-layer encoder and a 2-layer MLP in ONNX text syntax, and what they cost. A change
// of what the builder emits shows as a diff of these files.
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { costsFile, golden } from "../test/support/golden.js";
import { root } from "../test/support/root.js";

const { listings, costs } = await golden();
rmSync(join(root, "graphs"), { recursive: true, force: true });
for (const [path, text] of listings) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}
writeFileSync(costsFile, `${JSON.stringify(costs, null, 2)}\n`);
console.log(`${listings.size} listings written, and their costs`);
