import { z } from "zod";
import { noState, type Ascent } from "../part.js";

const options = z.object({});

/** No ascent: one gradient a step, at w. */
export const none: Ascent<typeof options> = {
  name: "none",
  summary: "no perturbation: the base optimizer alone",
  reference: "",
  options,
  hyper: () => [],
  state: () => noState,
};
