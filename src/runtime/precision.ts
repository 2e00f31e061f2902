import type { Manifest } from "../format/manifest.js";
import { check } from "../util/assert.js";

/** Providers that run on a processor: products in float16 are products in float32 between two casts there. */
const slow: ReadonlySet<string> = new Set(["cpu", "training-wasm"]);

/** Refuses to take steps of a package in mixed precision on a provider that only loses by it. */
export function requireFastHalf({ precision }: Pick<Manifest, "precision">, provider: string): void {
  check(
    precision !== "mixed" || !slow.has(provider),
    `the package trains in mixed precision, and provider "${provider}" has no float16 products: it casts to float32 and back around ` +
      "each; train on cuda, dml or webgpu, or patch the model without --precision mixed",
  );
}
