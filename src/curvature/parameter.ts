import type { Layer } from "./layers.js";

/** What algorithms know of a trainable parameter. */
export interface ParameterInfo {
  name: string;
  shape: readonly number[];
  group: string;
  /** The layer that it is the weight or the bias of, where that is one with Kronecker factors. */
  layer: Layer | null;
}
