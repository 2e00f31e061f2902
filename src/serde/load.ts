import { readFileSync, statSync } from "node:fs";
import { dirname } from "node:path";
import type { Model } from "../ir/graph.js";
import { check, UserError } from "../util/assert.js";
import { Source } from "./context.js";
import type { ModelProto } from "./proto.js";
import { readModel } from "./read.js";
import { decodeModel } from "./schema.js";

/** What a protobuf message can hold; weights beyond it lie in external data. */
export const largestMessage = 2 ** 31 - 1;

/**
 * The model in `bytes`, whose byte fields stay views of them. `folder` is where external data lies (`file`'s by
 * default); `file` is how messages call the model. Throws UserError for whatever is not a sound ONNX model.
 */
export function parseModel(bytes: Uint8Array, options: { folder?: string; file?: string } = {}): Model {
  const file = options.file ?? null;
  const source: Source = new Source(file ?? "model", options.folder ?? (file === null ? null : dirname(file)), file);
  source.check(bytes.byteLength > 0, () => "is empty; an ONNX model is expected");
  let proto: ModelProto;
  try {
    proto = decodeModel(bytes);
  } catch (error) {
    source.fail(`is not an ONNX model, or is truncated (${error instanceof Error ? error.message : "unreadable"})`);
  }
  try {
    return readModel(source, proto);
  } catch (error) {
    if (error instanceof RangeError) source.fail(`is nested too deeply or too large to read (${error.message})`);
    throw error;
  }
}

/** Reads an ONNX file. External data is checked for place and size and stays in its files until it is used. */
export function loadModel(file: string): Model {
  let bytes: Uint8Array;
  try {
    const { size } = statSync(file);
    check(
      size <= largestMessage,
      `${file}: ${size} bytes; an ONNX file holds at most 2 GB, with the rest as external data`,
    );
    bytes = readFileSync(file);
  } catch (error) {
    if (error instanceof UserError) throw error;
    const code = (error as NodeJS.ErrnoException).code ?? "unreadable";
    throw new UserError(`${file}: cannot be read (${code === "ENOENT" ? "no such file" : code})`);
  }
  return parseModel(bytes, { file });
}
