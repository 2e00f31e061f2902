import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command, Option } from "commander";
import type { Sharpness, SharpnessOptions } from "../../analysis/sharpness.js";
import type { Vector } from "../../analysis/vector.js";
import { splitNames } from "../../data/graph/graphs.js";
import { UserError } from "../../util/assert.js";
import type { CommandBuilder, Context } from "../context.js";
import { counted, grouped } from "../format.js";
import { addLossOptions, lossOf, type LossFlags } from "../loss.js";
import { addMeasuredOptions, measuredBatches, type GivenOptions, type MeasuredFlags } from "../measured.js";
import { addRuntimeOptions, runtimeOptions, type RuntimeFlags } from "../options.js";
import { integer, number, numbers } from "../parse.js";

const help = `
Everything is measured in evaluation mode over the same few batches. Of a package, the
trained weights are taken where there are some; a model needs its loss named, as in curvsam patch.
The model's inputs tell whether the data are texts, images or graphs; images that come class by
class are taken in an order of --seed.

  eigenvalues   the largest and the smallest of the Hessian, by Lanczos
  trace         Hutchinson's estimate with its standard error, for each tensor too
  sharpness     mean rise of the loss along each batch's gradient at radius rho, and along
                CurvSAM's step in its ellipsoid (h from the checkpoint, else from the trace's probes)

Examples:
  $ curvsam sharpness out --data dev.tsv
  $ curvsam sharpness out --data dev.tsv --weights out/run/checkpoints/checkpoint-40 --rho 0.01,0.05,0.1 --layers
  $ curvsam sharpness out --data dev.tsv --density --landscape 2d -o report
  $ curvsam sharpness run/package --data cifar-10-batches-bin --run run --batch-size 64
  $ curvsam sharpness out --data ogbg_molbbbp --on valid --density
  $ curvsam sharpness model.onnx --loss cross-entropy --data dev.tsv --tokenizer tokenizer.json --text sentence --label label`;

interface Flags extends MeasuredFlags, RuntimeFlags, LossFlags {
  run?: string;
  weights?: string;
  topK: number;
  steps: number;
  probes: number;
  rho: number[];
  density?: true;
  landscape?: "1d" | "2d";
  extent: number;
  points?: number;
  layers?: true;
  output?: string;
  force?: true;
  json?: true;
}

export const command: CommandBuilder = (context) => {
  const command = new Command("sharpness")
    .helpGroup("Training packages:")
    .summary("measure how sharp the loss surface is")
    .description("Measures the curvature of the loss at a package's, a checkpoint's or a model's weights.")
    .argument("<package or model>", "a folder that curvsam patch wrote, or an ONNX file")
    .requiredOption("--data <path>", "what to measure on: texts, or images or graphs as vision and graph read them");
  const given = addMeasuredOptions(command);
  return addRuntimeOptions(addLossOptions(command))
    .addOption(new Option("--on <split>", "images and graphs: which to take (default: train)").choices(splitNames))
    .option("--batch-size <n>", "examples in a batch; sharpness depends on it", integer({ min: 1 }), 32)
    .option("--batches <n>", "how many batches to take from the start of the data", integer({ min: 1 }), 8)
    .option("--run <folder>", "the run whose weights to take (default: run in the package)")
    .option("--weights <path>", "safetensors or a checkpoint to take (default: the run's, else the package's own)")
    .option("--top-k <n>", "how many of the largest eigenvalues", integer({ min: 1 }), 5)
    .option("--steps <n>", "the most steps of Lanczos", integer({ min: 2 }), 80)
    .option("--probes <n>", "probes of the trace", integer({ min: 2 }), 20)
    .option("--rho <x,…>", "radii of the sharpness", numbers({ min: 0, above: true }), [0.05])
    .option("--density", "also the spectral density, by stochastic Lanczos quadrature")
    .addOption(
      new Option("--landscape <kind>", "also the loss along filter-normalised directions").choices(["1d", "2d"]),
    )
    .option("--extent <x>", "how far the landscape goes, in norms of the weights", number({ min: 0, above: true }), 1)
    .option("--points <n>", "points of the landscape in each direction (default: 41, 2d: 21)", integer({ min: 3 }))
    .option("--layers", "also the largest eigenvalue of each tensor's own block")
    .option("--seed <n>", "seed of starts, probes and directions", integer(), 0)
    .option("-o, --output <folder>", "write sharpness.json, tables as CSV, pictures as SVG and PNG")
    .option("--force", "replace the report that the folder holds")
    .option("--json", "print one JSON document")
    .addHelpText("after", help)
    .action(async (path: string, flags: Flags) => {
      const temporary = mkdtempSync(join(tmpdir(), "curvsam-sharpness-"));
      try {
        const result = await measure(context, path, flags, given(), temporary);
        if (!result) return;
        if (flags.output !== undefined) {
          const { writeSharpness } = await import("../sharpness_files.js");
          await writeSharpness(result, flags.output, flags.force ?? false);
        }
        if (flags.json) context.printJson(result);
        else for (const line of listing(result)) context.print(line);
        if (flags.output !== undefined) context.note(`curvsam: the report is in ${flags.output}`);
      } finally {
        rmSync(temporary, { recursive: true, force: true });
      }
    });
};

/** Null where the user stopped it. */
async function measure(
  context: Context,
  path: string,
  flags: Flags,
  given: GivenOptions,
  temporary: string,
): Promise<Sharpness | null> {
  const [{ LossSurface }, { sharpness }, { writeSurface }, { readManifest }, run, { WorkBar }] = await Promise.all([
    import("../../analysis/surface.js"),
    import("../../analysis/sharpness.js"),
    import("../../pack/surface.js"),
    import("../../format/manifest.js"),
    import("../run.js"),
    import("../work_bar.js"),
  ]);
  const folder = path.endsWith(".onnx") ? await packageOf(path, flags, join(temporary, "package")) : path;
  const manifest = readManifest(folder);
  const trained = new run.RunFolder(folder, flags.run);
  const weights =
    flags.weights === undefined ? trained.weightsToTake(flags.run !== undefined) : await run.weightsAt(flags.weights);
  const batches = await measuredBatches(context, manifest, flags, given, trained.readSettings());
  const graphs = await writeSurface(folder, manifest, temporary);
  const surface = await LossSurface.open(folder, graphs, batches, { ...runtimeOptions(flags), weights });
  const bar = new WorkBar(context.interactive && flags.json === undefined, "sharpness");
  try {
    const h = weights === undefined ? null : run.curvatureIn(weights, surface.blocks);
    return await sharpness(surface, surface.origin, {
      ...optionsOf(flags, run.floorOf(manifest), h),
      signal: context.signal,
      onProgress: (done, total) => bar.update(done, total),
    });
  } catch (error) {
    if (context.signal.aborted) return null;
    throw error;
  } finally {
    bar.stop();
    await surface.close();
  }
}

function optionsOf(flags: Flags, floor: number | undefined, h: Vector | null): SharpnessOptions {
  const dimensions = flags.landscape === "2d" ? 2 : 1;
  return {
    topK: flags.topK,
    lanczosSteps: flags.steps,
    probes: flags.probes,
    radii: flags.rho,
    seed: flags.seed,
    layers: flags.layers ?? false,
    ...(h && { curvature: h }),
    ...(floor !== undefined && { floor }),
    ...(flags.density && { density: { probes: Math.min(flags.probes, 5), steps: Math.min(flags.steps, 40) } }),
    ...(flags.landscape && {
      landscape: { dimensions, extent: flags.extent, count: flags.points ?? (dimensions === 2 ? 21 : 41) },
    }),
  };
}

/** A package of a model that is only looked at: the plainest optimizer. */
async function packageOf(model: string, flags: Flags, folder: string): Promise<string> {
  if (flags.run !== undefined || flags.weights !== undefined) {
    throw new UserError(`${model}: --run and --weights belong to packages; a model has its own weights`);
  }
  const { patch } = await import("../../pack/patch.js");
  await patch(model, folder, { loss: lossOf(flags), optimizer: "none", base: "sgd" });
  return folder;
}

const shown = (x: number): string => (Number.isFinite(x) ? x.toPrecision(4) : "–");
const between = ({ mean, standardError }: { mean: number; standardError: number }): string =>
  `${shown(mean)} ± ${shown(standardError)}`;

function listing(result: Sharpness): string[] {
  const { eigenvalues } = result;
  const lines = [
    `${grouped(result.parameters)} parameters, ${counted(result.batches, "batch", "batches")}: ` +
      `loss ${shown(result.loss)}, gradient norm ${shown(result.gradientNorm)}`,
    `largest eigenvalues ${eigenvalues.largest.map(({ value }) => shown(value)).join(", ")}; smallest ${shown(eigenvalues.smallest.value)}` +
      (eigenvalues.converged ? "" : " (not converged: more --steps)"),
    `trace ${between(result.trace)}`,
    ...result.radii.map(
      ({ radius, uniform, ellipsoid }) =>
        `sharpness at ${radius}: ${between(uniform)}, in the ellipsoid ${between(ellipsoid)}`,
    ),
  ];
  return lines;
}
