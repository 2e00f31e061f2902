// Writes graphs/: the emitted graphs of a 2-layer encoder and a 2-layer MLP in ONNX text syntax. A change of what the
// builder emits shows as a diff of these files.
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { goldenListings } from "../test/support/golden.js";
import { root } from "../test/support/root.js";

const listings = await goldenListings();
rmSync(join(root, "graphs"), { recursive: true, force: true });
for (const [path, text] of listings) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}
console.log(`${listings.size} listings written`);
