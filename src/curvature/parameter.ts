import type { Layer } from "./layers.js";

/** What algorithms know of a trainable parameter. */
export interface ParameterInfo {
  name: string;
  shape: readonly number[];
  group: string;
  /** The layer whose weight it is, where it is one that has Kronecker factors. */
  layer: Layer | null;
}
