import { InvalidArgumentError, Option, type Command } from "commander";
import type { PatchOptions } from "../pack/patch.js";
import { UserError } from "../util/assert.js";
import { didYouMean } from "../util/suggest.js";
import { UsageError } from "./failure.js";
import { globs } from "./globs.js";
import { assignments, integer, number } from "./parse.js";

type Setting = string | number | boolean;

/** The options of `patch` that choose and tune the optimizer. */
export interface OptimizerFlags {
  optimizer: string;
  preset?: string;
  /** By default plain. */
  combine?: string;
  base: string;
  lr?: number;
  rho?: number;
  beta?: number;
  delta?: number;
  estimator?: string;
  frequency?: number;
  probe?: string;
  probes?: number;
  curvatureShare?: number;
  initialCurvature?: string;
  radius?: string;
  floor?: string;
  granularity?: string;
  normScope?: string;
  period?: number;
  momentum?: number;
  nesterov?: true;
  weightDecay?: number;
  clipNorm?: number;
  clipValue?: number;
  lossScale?: number;
  set?: Record<string, Setting>;
  hyper?: Record<string, number>;
  group?: Record<string, string>;
}

export type OptimizerOptions = Required<
  Pick<
    PatchOptions,
    "optimizer" | "optimizerOptions" | "combine" | "combineOptions" | "base" | "baseOptions" | "hyper" | "groups"
  >
> & {
  /** The globs of each group, by the name of its flag. */
  patterns: Record<string, string[]>;
};

/** Declares them. Defaults are those of the paper. */
export const addOptimizerOptions = (command: Command): Command =>
  addPartOptions(command)
    .option("--lr <x>", "learning rate", number({ min: 0 }))
    .option("--rho <x>", "radius of the perturbation", number({ min: 0 }))
    .option("--loss-scale <x>", "scale the loss where it is differentiated", number({ min: 0, above: true }))
    .option("--hyper <name=x>", "any other hyper-parameter, e.g. beta2=0.98; name/group=x for a group", assignments);

/** Declares those that the commands that train do not have. */
export const addPartOptions = (command: Command): Command =>
  command
    .option("--optimizer <name>", "the perturbation: none, sam, asam or curvsam", "curvsam")
    .option("--preset <name>", "curvsam: paper, or fast, whose curvature is almost free (default: paper)")
    .option("--combine <name>", "what becomes of the two gradients: plain, gsam or looksam", "plain")
    .option("--base <name>", "what takes the step; curvsam optimizers lists them", "sgd")
    .option("--beta <x>", "curvsam: weight of the past in the curvature (default: 0.9)", number({ min: 0, max: 1 }))
    .option("--delta <x>", "curvsam: floor of the curvature scale (default: 0.01)", number({ min: 0, above: true }))
    .option(
      "--estimator <name>",
      "curvsam: hvp, finite-difference, gnb, gauss-newton, empirical, secant or secant-gradient (default: hvp)",
    )
    .option("--frequency <n>", "curvsam: steps between curvature refreshes (default: 5)", integer({ min: 1 }))
    .option("--probe <kind>", "curvsam: normal or rademacher (default: normal)")
    .option("--probes <n>", "curvsam: probes in a refresh (default: 1)", integer({ min: 1 }))
    .option(
      "--curvature-share <q>",
      "curvsam: fraction of the batch that the curvature is measured on (default: 1)",
      number({ min: 0, above: true, max: 1 }),
    )
    .option("--initial-curvature <h>", "curvsam: one, or zero with bias correction (default: one)")
    .option("--radius <kind>", "curvsam: ellipsoid or euclidean (default: ellipsoid)")
    .option("--floor <kind>", "curvsam: absolute or relative to the curvature (default: absolute)")
    .option("--granularity <kind>", "curvsam: one curvature an element, tensor or group (default: element)")
    .option("--norm-scope <kind>", "sam, asam, curvsam: one norm, global, or one a group (default: global)")
    .option("--period <k>", "looksam: steps from one second gradient to the next (default: 5)", integer({ min: 1 }))
    .option("--momentum <x>", "sgd: momentum", number({ min: 0, max: 1 }))
    .option("--nesterov", "sgd: look ahead along the momentum")
    .option("--weight-decay <x>", "weight decay", number({ min: 0 }))
    .option("--clip-norm <x>", "scale the descent gradient down to this norm", number({ min: 0, above: true }))
    .option("--clip-value <x>", "clip the descent gradient's elements to ± this", number({ min: 0, above: true }))
    .addOption(setOption())
    .addOption(
      new Option(
        "--group <name=globs>",
        "parameters with an lr, weight_decay, rho or delta of their own, e.g. head=*classifier*",
      ).argParser(groupings),
    );

export const setOption = (): Option =>
  new Option(
    "--set <name=value>",
    "any other option of a part, e.g. amsgrad=true; part.name=value where two have it",
  ).argParser(settings);

/** Collects `name=value` options: numbers and true or false are read as such. */
function settings(text: string, previous: Readonly<Record<string, Setting>> | undefined): Record<string, Setting> {
  const [, name, value] = /^([\w.]+)=(.+)$/.exec(text) ?? [];
  if (name === undefined || value === undefined) throw new InvalidArgumentError("expected name=value");
  const words: Readonly<Record<string, boolean>> = { true: true, false: false };
  const read = words[value] ?? (Number.isFinite(Number(value)) ? Number(value) : value);
  return { ...previous, [name]: read };
}

/** Collects `name=globs` options. */
function groupings(text: string, previous: Readonly<Record<string, string>> | undefined): Record<string, string> {
  const [, name, patterns] = /^(\w+)=(.+)$/.exec(text) ?? [];
  if (name === undefined || patterns === undefined) throw new InvalidArgumentError("expected name=globs");
  return { ...previous, [name]: patterns };
}

/** Those of `values` that were given. */
function given<T>(values: Readonly<Record<string, T | undefined>>): Record<string, T> {
  return Object.fromEntries(Object.entries(values).filter((entry): entry is [string, T] => entry[1] !== undefined));
}

/** What `flags` say to `patch`; a flag that the chosen parts do not know is wrong usage. */
export async function optimizerOptions(flags: OptimizerFlags): Promise<OptimizerOptions> {
  const [{ checkHyper, compose }, { withPreset }] = await Promise.all([
    import("../optim/compose.js"),
    import("../optim/presets.js"),
  ]);
  const rule = flags.combine ?? "plain";
  const hyper = given({
    ...flags.hyper,
    lr: flags.lr ?? flags.hyper?.["lr"],
    rho: flags.rho ?? flags.hyper?.["rho"],
    beta: flags.beta ?? flags.hyper?.["beta"],
    delta: flags.delta ?? flags.hyper?.["delta"],
    momentum: flags.momentum ?? flags.hyper?.["momentum"],
    weight_decay: flags.weightDecay ?? flags.hyper?.["weight_decay"],
    clip_norm: flags.clipNorm ?? flags.hyper?.["clip_norm"],
    clip_value: flags.clipValue ?? flags.hyper?.["clip_value"],
    loss_scale: flags.lossScale ?? flags.hyper?.["loss_scale"],
  });
  const plain = Object.fromEntries(Object.entries(hyper).filter(([name]) => !name.includes("/")));
  try {
    const { combine, base, ...options } = await partOptions(flags);
    const { options: ascent, hyper: all } =
      flags.preset === undefined
        ? { options: options.ascent, hyper: plain }
        : withPreset(flags.preset, flags.optimizer, options.ascent, plain);
    const optimizer = compose(flags.optimizer, flags.base, {
      ...{ ascent, base, hyper: all },
      ...{ combine: rule, combineOptions: combine },
    });
    const groups = groupsOf(flags.group ?? {}, hyper);
    for (const group of groups) checkHyper(optimizer, group.hyper);
    return {
      ...{ optimizer: flags.optimizer, optimizerOptions: ascent, combine: rule, combineOptions: combine },
      ...{ base: flags.base, baseOptions: base, hyper: all },
      groups: groups.map(({ name, patterns, hyper: own }) => ({ name, match: globs(patterns), hyper: own })),
      patterns: Object.fromEntries(groups.map(({ name, patterns }) => [`group ${name}`, patterns])),
    };
  } catch (error) {
    if (error instanceof UserError) throw new UsageError(error.message);
    throw error;
  }
}

type Kind = "ascent" | "combine" | "base";

/** The options of each part: those that have a flag of their own, and those set by name. */
async function partOptions(flags: OptimizerFlags): Promise<Record<Kind, Record<string, unknown>>> {
  const { ascents, bases, combines } = await import("../optim/compose.js");
  const options: Record<Kind, Record<string, unknown>> = {
    ascent: given<unknown>({
      estimator: flags.estimator,
      frequency: flags.frequency,
      probe: flags.probe,
      probes: flags.probes,
      share: flags.curvatureShare,
      initial: flags.initialCurvature,
      radius: flags.radius,
      floor: flags.floor,
      granularity: flags.granularity,
      scope: flags.normScope,
    }),
    combine: given<unknown>({ period: flags.period }),
    base: given<unknown>({ nesterov: flags.nesterov }),
  };
  const chosen = [
    { kind: "ascent" as const, part: ascents.find((p) => p.name === flags.optimizer) },
    { kind: "combine" as const, part: combines.find((p) => p.name === (flags.combine ?? "plain")) },
    { kind: "base" as const, part: bases.find((p) => p.name === flags.base) },
  ];
  for (const [key, value] of Object.entries(flags.set ?? {})) {
    const [first, second] = key.split(".");
    const [owner, name] = second === undefined ? [undefined, first ?? key] : [first, second];
    const having = chosen.filter(
      ({ part }) => part && (owner === undefined || part.name === owner) && name in part.options.shape,
    );
    const [only, ...others] = having;
    if (only && others.length === 0) options[only.kind][name] = value;
    else {
      const known = chosen.flatMap(({ part }) => (part ? Object.keys(part.options.shape) : []));
      throw new UsageError(
        only
          ? `--set ${key}: ${having.map(({ part }) => part?.name ?? "").join(" and ")} both have it; say whose, e.g. ${only.part?.name ?? ""}.${name}=…`
          : `--set ${key}: the chosen parts have no such option; they have ${known.join(", ")}${didYouMean(name, known)}`,
      );
    }
  }
  return options;
}

/** The groups of `--group`, with the hyper-parameters `name/group` that were given. */
function groupsOf(
  groups: Readonly<Record<string, string>>,
  hyper: Readonly<Record<string, number>>,
): { name: string; patterns: string[]; hyper: Record<string, number> }[] {
  const names = Object.keys(groups);
  for (const key of Object.keys(hyper)) {
    const [, group] = key.split("/");
    if (group === undefined || names.includes(group)) continue;
    throw new UsageError(`--hyper ${key}: no --group is called "${group}"${didYouMean(group, names)}`);
  }
  return names.map((name) => {
    const own = Object.entries(hyper).filter(([key]) => key.endsWith(`/${name}`));
    const values = Object.fromEntries(own.map(([key, value]) => [key.slice(0, -name.length - 1), value]));
    return { name, patterns: (groups[name] ?? "").split(","), hyper: values };
  });
}

/** `groups`, each split in two where some of its parameters have no weight decay, and the rest of those. */
export function withoutDecay(
  groups: OptimizerOptions["groups"],
  exempt: (name: string) => boolean,
): OptimizerOptions["groups"] {
  const split = groups.flatMap((group) => [
    {
      name: `${group.name}_no_decay`,
      match: (name: string) => group.match(name) && exempt(name),
      hyper: { ...group.hyper, weight_decay: 0 },
    },
    group,
  ]);
  return [...split, { name: "no_decay", match: exempt, hyper: { weight_decay: 0 } }];
}
