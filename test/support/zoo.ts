import { expect } from "chai";
import { InferenceSession } from "onnxruntime-node";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readManifest, weightsFile, type Manifest } from "../../src/format/manifest.js";
import { SafetensorsFile } from "../../src/format/safetensors.js";
import { patch } from "../../src/pack/patch.js";
import { loadModel } from "../../src/serde/index.js";
import { must } from "../../src/util/assert.js";
import { bounds, derivativeErrors, transposeReference, worst, type TensorError } from "./derivatives.js";
import { root } from "./root.js";
import { runSession, type Feed } from "./run_graph.js";
import { readFixture, type ExportFixture } from "./torch_fixtures.js";

/** An export that PyTorch's exporter could not make. */
export interface ExportFailure {
  model: string;
  mode: string;
  exporter: string;
  opset: number;
  folded: boolean;
  error: string;
}

/** What scripts/make_model_zoo.py writes. */
export interface ZooIndex {
  exports: ExportFixture[];
  failures: ExportFailure[];
}

/** What one export gave: its size, the errors of its derivatives, and one step of CurvSAM on it. */
export interface Measurement {
  sha256: string;
  nodes: number;
  /** Elements of all parameters. */
  parameters: number;
  loss: number;
  lossAfter: number;
  lossError: number;
  grad: TensorError;
  hvp: TensorError;
  /** Running statistics after the first pass; error 0 where there are none. */
  statistics: TensorError;
  /** Each thing that is not as it must be; empty for an export that trains right. */
  problems: string[];
}

export const readZoo = (folder: string): ZooIndex =>
  JSON.parse(readFileSync(join(folder, "index.json"), "utf8")) as ZooIndex;

/** The step's learning rate: small, so that the loss of the same batch must fall. */
const lr = 0.002;

/**
 * Patches `fixture.file` of `folder` and runs the package's graphs in the runtime: gradient and HVP against PyTorch's in
 * float64, then one fused step with its curvature refresh. Throws a UserError where the export cannot be patched.
 */
export async function measure(folder: string, fixture: ExportFixture): Promise<Measurement> {
  const file = join(folder, fixture.file);
  const reference = readFixture(fixture.reference, folder);
  const temporary = mkdtempSync(join(tmpdir(), "curvsam-zoo-"));
  try {
    const out = join(temporary, "package");
    const report = await patch(file, out, {
      loss: { kind: "cross-entropy" },
      hyper: { lr },
      ...(fixture.restored !== undefined && { trainMode: { dropout: 0 } }),
    });
    const manifest = readManifest(out);
    const problems = namesProblems(manifest, reference);
    if (report.dropouts !== fixture.dropouts.length)
      problems.push(`${report.dropouts} dropouts found, ${fixture.dropouts.length} expected`);
    if (report.restored.length !== (fixture.restored ?? 0))
      problems.push(`${report.restored.length} batch norms restored, ${fixture.restored ?? 0} expected`);
    const specs = Object.entries(manifest.parameters);
    transposeReference(
      reference,
      specs.filter(([name, p]) => p.transposed && reference.has(`grad/${name}`)).map(([name]) => name),
    );
    const feeds = new Map([...reference, ...startingFeeds(out, manifest, reference)]);
    fixture.dropouts.forEach((d, k) => feeds.set(`random/dropout/${k}`, must(reference.get(d.mask), d.mask)));
    const result: Measurement = {
      sha256: createHash("sha256").update(readFileSync(file)).digest("hex"),
      nodes: loadModel(file).graph.nodes.length,
      parameters: specs.reduce((n, [, p]) => n + p.shape.reduce((a, b) => a * b, 1), 0),
      loss: NaN,
      lossAfter: NaN,
      lossError: NaN,
      grad: { name: "", error: NaN },
      hvp: { name: "", error: NaN },
      statistics: { name: "", error: NaN },
      problems,
    };
    if (problems.length === 0) await run(out, manifest, feeds, reference, result);
    return result;
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}

/** Parameters that are too many or too few. */
function namesProblems(manifest: Manifest, reference: ReadonlyMap<string, Feed>): string[] {
  const found = new Set(Object.keys(manifest.parameters));
  const wanted = [...reference.keys()].filter((k) => k.startsWith("grad/")).map((k) => k.slice("grad/".length));
  const missing = wanted.filter((name) => !found.has(name));
  const extra = [...found].filter((name) => !wanted.includes(name));
  return [
    ...(missing.length > 0 ? [`parameters not found: ${missing.join(", ")}`] : []),
    ...(extra.length > 0 ? [`taken for parameters: ${extra.join(", ")}`] : []),
  ];
}

/** Inputs of the model, weights, hyper-parameters and initial state. */
function startingFeeds(out: string, manifest: Manifest, reference: ReadonlyMap<string, Feed>): Map<string, Feed> {
  const feeds = new Map<string, Feed>();
  for (const name of Object.keys(manifest.inputs)) feeds.set(name, must(reference.get(`input/${name}`), name));
  // Parameters, and the buffers of batch norms.
  SafetensorsFile.using(join(out, weightsFile), (weights) => {
    for (const [name, { shape }] of weights.entries) {
      const data = new Float32Array(weights.bytes(name).slice().buffer);
      feeds.set(name, { dtype: "float32", dims: shape, data });
    }
  });
  const filled = (dims: readonly number[], value: number): Feed => ({
    dtype: "float32",
    dims,
    data: new Float32Array(dims.reduce((a, b) => a * b, 1)).fill(value),
  });
  for (const [name, h] of Object.entries(manifest.hyper)) feeds.set(name, filled([], h.default));
  for (const [name, s] of Object.entries(manifest.state)) {
    if ("fill" in s.init) feeds.set(name, filled(s.shape, s.init.fill));
  }
  return feeds;
}

async function run(
  out: string,
  manifest: Manifest,
  feeds: Map<string, Feed>,
  reference: ReadonlyMap<string, Feed>,
  result: Measurement,
): Promise<void> {
  const open = (graph: string): Promise<InferenceSession> =>
    InferenceSession.create(join(out, must(manifest.graphs[graph], graph)), {
      logSeverityLevel: 3,
      intraOpNumThreads: 1,
    });
  const hvp = await open("hvp");
  const step = await open("curvature_step");
  try {
    const got = await runSession(hvp, feeds);
    const loss = (must(reference.get("loss"), "loss").data as Float64Array)[0] ?? NaN;
    result.loss = got.get("loss")?.[0] ?? NaN;
    result.lossError = Math.abs(result.loss - loss) / loss;
    result.grad = worst(derivativeErrors(got, reference, "grad"));
    result.hvp = worst(derivativeErrors(got, reference, "hvp"));
    result.statistics = worst(derivativeErrors(got, reference, "next"));
    const taken = await runSession(step, feeds);
    for (const name of Object.keys(manifest.parameters)) {
      const next = must(taken.get(`next/${name}`), `next/${name}`);
      feeds.set(name, { ...must(feeds.get(name), name), data: next });
    }
    result.lossAfter = (await runSession(hvp, feeds)).get("loss")?.[0] ?? NaN;
    const { problems } = result;
    if (!(result.lossError <= bounds.loss)) problems.push(`loss: error ${result.lossError.toExponential(1)}`);
    for (const kind of ["grad", "hvp", "statistics"] as const) {
      const { name, error } = result[kind];
      if (!(error <= bounds[kind]))
        problems.push(`${name}: error ${error.toExponential(1)} of ${bounds[kind]} allowed`);
    }
    if (taken.get("skipped")?.[0] !== 0) problems.push("the step was skipped");
    if (!(result.lossAfter < result.loss)) problems.push(`the loss went from ${result.loss} to ${result.lossAfter}`);
  } finally {
    await hvp.release();
    await step.release();
  }
}

/** Holds each export in `test/fixtures/<name>` to PyTorch. */
export function holdExports(name: string, title: string): void {
  const folder = join(root, "test", "fixtures", name);
  describe(title, () => {
    for (const fixture of readZoo(folder).exports) {
      it(fixture.file, async () => {
        const { problems, grad, hvp } = await measure(folder, fixture);
        expect(problems).to.deep.equal([]);
        expect([grad.error, hvp.error].every((e) => e > 0)).to.equal(true);
      });
    }
  });
}
