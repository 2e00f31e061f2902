import { Rng } from "../util/rng.js";
import { spectralDensity, type Spectrum } from "./density.js";
import { landscape, type Landscape } from "./landscape.js";
import { extremeEigenvalues, type Extremes } from "./lanczos.js";
import { curvatureScale, sharpnessAt, type RadiusSharpness } from "./radius.js";
import type { LossSurface } from "./surface.js";
import { hutchinson, type Estimate } from "./trace.js";
import { norm, type Vector } from "./vector.js";

export interface SharpnessOptions {
  /** How many of the largest eigenvalues (default 5), and the most products that they may cost (default 80). */
  topK?: number;
  lanczosSteps?: number;
  /** Probes of the trace (default 20; the standard error falls with their square root). */
  probes?: number;
  /** Radii at which the loss's rise is measured (default 0.05). */
  radii?: readonly number[];
  /** The curvature state h of CurvSAM; default: |diag H| as the trace's probes estimate it. */
  curvature?: Vector;
  /** Floor δ of √h (default 0.01). */
  floor?: number;
  density?: { probes: number; steps: number };
  landscape?: { dimensions: 1 | 2; extent: number; count: number };
  /** Also the largest eigenvalue of each tensor's diagonal block. */
  layers?: boolean;
  seed?: number;
  /** Called after each unit of work. */
  onProgress?: (done: number, total: number) => void;
  /** Aborting it throws its reason at the next unit of work. */
  signal?: AbortSignal;
}

export interface Layer {
  name: string;
  elements: number;
  trace: Estimate;
  /** The block's largest eigenvalue and its residual, where it was asked for. */
  largest?: { value: number; residual: number };
}

export interface Sharpness {
  batches: number;
  parameters: number;
  loss: number;
  gradientNorm: number;
  eigenvalues: Extremes;
  trace: Estimate;
  /** By radius: the rise along the gradient, and along CurvSAM's step in its ellipsoid. */
  radii: RadiusSharpness[];
  /** Where the ellipsoid's h is from. */
  curvature: "state" | "probes";
  density: Spectrum | null;
  landscape: Landscape | null;
  layers: Layer[];
}

/**
 * How sharp the loss surface is at `w`: extreme eigenvalues of the Hessian (Lanczos), its trace (Hutchinson), and what the
 * options ask for beside: spectral density, landscape, layers. Everything is over the surface's batches, in evaluation mode.
 */
export async function sharpness(
  surface: LossSurface,
  w: Vector = surface.origin,
  options: SharpnessOptions = {},
): Promise<Sharpness> {
  const { topK = 5, lanczosSteps = 80, probes = 20, radii = [0.05], floor = 0.01, seed = 0 } = options;
  const each = counter(surface, options, { lanczosSteps, probes, radii: radii.length });
  const hessian = surface.hessian(w);
  const product = async (v: Vector): Promise<Vector> => {
    const result = await hessian(v);
    each();
    return result;
  };
  const random = (purpose: string): Rng => new Rng(seed, "sharpness", purpose);
  const start = new Float32Array(surface.size);
  random("lanczos").fillNormal(start);
  const eigenvalues = await extremeEigenvalues(product, start, { k: topK, steps: lanczosSteps });
  const trace = await hutchinson(product, w, { probes, rng: random("trace"), ranges: surface.blocks });
  const { density: spectrum, landscape: plane } = options;
  const density = spectrum ? await spectralDensity(product, w, { ...spectrum, rng: random("density") }) : null;
  const h = options.curvature ?? trace.diagonal.map(Math.abs);
  const rises = await sharpnessAt(surface, w, radii, curvatureScale(h, floor), each);
  const layers: Layer[] = [];
  for (const block of surface.blocks) {
    const { name, start: from, end } = block;
    const layer: Layer = {
      name,
      elements: end - from,
      trace: trace.blocks.get(name) ?? { mean: NaN, standardError: NaN },
    };
    if (options.layers) {
      const blockStart = start.slice(from, end);
      const steps = Math.min(lanczosSteps, 20);
      const found = await extremeEigenvalues(surface.blockHessian(w, block), blockStart, {
        k: 1,
        steps,
        tolerance: 1e-2,
      });
      each();
      const [largest] = found.largest;
      if (largest) layer.largest = { value: largest.value, residual: largest.residual };
    }
    layers.push(layer);
  }
  return {
    batches: surface.batchCount,
    parameters: surface.size,
    loss: await surface.loss(w),
    gradientNorm: norm(await surface.gradient(w)),
    eigenvalues,
    trace: trace.total,
    radii: rises,
    curvature: options.curvature ? "state" : "probes",
    density,
    landscape: plane ? await landscape(surface, w, { ...plane, rng: random("landscape") }, each) : null,
    layers,
  };
}

/** Counts units of work for `onProgress`; where Lanczos ends early, the bar jumps. */
function counter(
  surface: LossSurface,
  { density, landscape: plane, layers, onProgress, signal }: SharpnessOptions,
  { lanczosSteps, probes, radii }: { lanczosSteps: number; probes: number; radii: number },
): () => void {
  const points = plane ? plane.count ** plane.dimensions : 0;
  const quadrature = density ? density.probes * density.steps : 0;
  const total =
    lanczosSteps + probes + quadrature + 2 * radii * surface.batchCount + points + (layers ? surface.blocks.length : 0);
  let done = 0;
  return () => {
    signal?.throwIfAborted();
    onProgress?.(++done, total);
  };
}
