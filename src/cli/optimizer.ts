import type { PatchOptions } from "../pack/patch.js";
import { UserError } from "../util/assert.js";
import { UsageError } from "./failure.js";

/** The options of `patch` that choose and tune the optimizer. */
export interface OptimizerFlags {
  optimizer: string;
  base: string;
  lr?: number;
  rho?: number;
  beta?: number;
  delta?: number;
  frequency?: number;
  probe?: string;
  momentum?: number;
  nesterov?: true;
  weightDecay?: number;
  hyper?: Record<string, number>;
}

type OptimizerOptions = Required<
  Pick<PatchOptions, "optimizer" | "optimizerOptions" | "base" | "baseOptions" | "hyper">
>;

/** Those of `values` that were given. */
function given<T>(values: Readonly<Record<string, T | undefined>>): Record<string, T> {
  return Object.fromEntries(Object.entries(values).filter((entry): entry is [string, T] => entry[1] !== undefined));
}

/** What `flags` say to `patch`; a flag that the chosen parts do not know is wrong usage. */
export async function optimizerOptions(flags: OptimizerFlags): Promise<OptimizerOptions> {
  const { compose } = await import("../optim/compose.js");
  const ascent = given<unknown>({ frequency: flags.frequency, probe: flags.probe });
  const base = given<unknown>({ momentum: flags.momentum === undefined ? undefined : true, nesterov: flags.nesterov });
  const hyper = given({
    ...flags.hyper,
    lr: flags.lr ?? flags.hyper?.["lr"],
    rho: flags.rho ?? flags.hyper?.["rho"],
    beta: flags.beta ?? flags.hyper?.["beta"],
    delta: flags.delta ?? flags.hyper?.["delta"],
    momentum: flags.momentum ?? flags.hyper?.["momentum"],
    weight_decay: flags.weightDecay ?? flags.hyper?.["weight_decay"],
  });
  try {
    const known = compose(flags.optimizer, flags.base, { ascent, base }).hyper.map((h) => h.name);
    for (const name of Object.keys(hyper)) {
      if (known.includes(name)) continue;
      const over = `${flags.optimizer} over ${flags.base}`;
      throw new UsageError(`${over} has no hyper-parameter "${name}"; it has ${known.join(", ")}`);
    }
  } catch (error) {
    if (error instanceof UserError) throw new UsageError(error.message);
    throw error;
  }
  return { optimizer: flags.optimizer, optimizerOptions: ascent, base: flags.base, baseOptions: base, hyper };
}
