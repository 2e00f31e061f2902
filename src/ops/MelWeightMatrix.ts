import type { OpRule } from "./rule.js";

/** Weights from spectra to the mel scale: its edges are rounded to bins, so that they have no derivative. */
export const rule: OpRule<"MelWeightMatrix"> = {
  op: "MelWeightMatrix",
  since: 17,
  vjp: "zero",
  jvp: "zero",
  samples: [
    {
      inputs: [
        ...[3, 16, 8192].map((n) => ({ shape: [], dtype: "int64" as const, values: [n] })),
        { shape: [], values: [10.3] },
        { shape: [], values: [3700.7] },
      ],
    },
  ],
};
