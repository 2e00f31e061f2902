// Patches MODEL into FOLDER as `curvsam patch` does, and says the peak memory of the process.
import { patch } from "../../src/pack/patch.js";
import { peakBytes } from "./peak.js";

const [model = "", folder = ""] = process.argv.slice(2);
await patch(model, folder, { loss: { kind: "cross-entropy" }, optimizer: "curvsam", base: "sgd", force: true });
console.log(JSON.stringify({ peak: peakBytes() }));
