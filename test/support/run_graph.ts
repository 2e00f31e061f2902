import { InferenceSession, Tensor } from "onnxruntime-node";
import { newModel, type Graph } from "../../src/ir/graph.js";
import { serializeModel } from "../../src/serde/index.js";

/** A named tensor of a fixture or a feed; float64 data are fed as float32. */
export interface Feed {
  dtype: string;
  dims: readonly number[];
  data: Float64Array | Float32Array | BigInt64Array | Uint8Array;
}

export function toOrt({ dtype, dims, data }: Feed): Tensor {
  if (data instanceof BigInt64Array) return new Tensor("int64", data, dims);
  if (dtype === "bool") return new Tensor("bool", Uint8Array.from(data), dims);
  return new Tensor("float32", Float32Array.from(data), dims);
}

/** Opens `graph` in onnxruntime, and runs it on the feeds that it has inputs for. */
export async function runGraph(graph: Graph, feeds: ReadonlyMap<string, Feed>): Promise<Map<string, Float32Array>> {
  const session = await InferenceSession.create(serializeModel(newModel(graph)), {
    logSeverityLevel: 3,
    intraOpNumThreads: 1,
  });
  try {
    return await runSession(session, feeds);
  } finally {
    await session.release();
  }
}

export async function runSession(
  session: InferenceSession,
  feeds: ReadonlyMap<string, Feed>,
): Promise<Map<string, Float32Array>> {
  const given: Record<string, Tensor> = {};
  for (const name of session.inputNames) {
    const feed = feeds.get(name);
    if (!feed) throw new Error(`the fixture has nothing for input "${name}"`);
    given[name] = toOrt(feed);
  }
  const results = await session.run(given);
  return new Map(
    Object.entries(results).map(([name, t]) => [name, Float32Array.from(t.data as Float32Array | Uint8Array)]),
  );
}

/** max |a − b| over max |b|, with both as float64; 0 for empty. */
export function relativeError(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let difference = 0;
  let scale = 0;
  for (let i = 0; i < b.length; i++) {
    difference = Math.max(difference, Math.abs((a[i] ?? NaN) - (b[i] ?? NaN)));
    scale = Math.max(scale, Math.abs(b[i] ?? NaN));
  }
  return Number.isNaN(difference) ? NaN : difference / Math.max(scale, 1e-30);
}
