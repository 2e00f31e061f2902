import type { Layer } from "./layers.js";
import type { Role } from "./roles.js";

/** What algorithms know of a trainable parameter. */
export interface ParameterInfo {
  name: string;
  shape: readonly number[];
  group: string;
  /** What the model does with it, tied ones too; null where that is nothing known. */
  role: Role | null;
  /** The layer that it is the weight or the bias of, where that is one with Kronecker factors. */
  layer: Layer | null;
}
