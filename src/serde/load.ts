import { closeSync, fstatSync, openSync, readFileSync } from "node:fs";
import { basename, dirname } from "node:path";
import type { Model } from "../ir/graph.js";
import { check, UserError } from "../util/assert.js";
import { Source } from "./context.js";
import { outlineModel } from "./outline.js";
import type { ModelProto } from "./proto.js";
import { readModel } from "./read.js";
import { decodeModel } from "./schema.js";

/** What a protobuf message can hold; weights beyond it lie in external data. */
export const largestMessage = 2 ** 31 - 1;

/** Files from this size on are not read whole: their large weights stay where they are until they are used. */
const outlinedFrom = 64 << 20;

/**
 * The model in `bytes`, whose byte fields stay views of them. `folder` is where external data lies (`file`'s by
 * default); `file` is how messages call the model. Throws UserError for whatever is not a sound ONNX model.
 */
export function parseModel(bytes: Uint8Array, options: { folder?: string; file?: string } = {}): Model {
  const file = options.file ?? null;
  return parse(bytes, new Source(file ?? "model", options.folder ?? (file === null ? null : dirname(file)), file));
}

function parse(bytes: Uint8Array, source: Source): Model {
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

/**
 * Reads an ONNX file. External data is checked for place and size and stays in its files until it is used, and so do the
 * weights of a file of `outlinedFrom` bytes and more, which must stay as it is for as long as the model is in use.
 */
export function loadModel(file: string, options: { outlinedFrom?: number } = {}): Model {
  const source: Source = new Source(file, dirname(file), file);
  let bytes: Uint8Array;
  try {
    const fd = openSync(file, "r");
    try {
      const { size } = fstatSync(fd);
      check(
        size <= largestMessage,
        `${file}: ${size} bytes; an ONNX file holds at most 2 GB, with the rest as external data`,
      );
      bytes = (size >= (options.outlinedFrom ?? outlinedFrom) ? outline(source, fd, size) : null) ?? readFileSync(fd);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    if (error instanceof UserError) throw error;
    const code = (error as NodeJS.ErrnoException).code ?? "unreadable";
    throw new UserError(`${file}: cannot be read (${code === "ENOENT" ? "no such file" : code})`);
  }
  return parse(bytes, source);
}

/** The message without its large weights, which count as external data of the file itself. */
function outline(source: Source, fd: number, size: number): Uint8Array | null {
  const location = basename(source.label);
  source.external.set(location, { file: source.label, size });
  return outlineModel(fd, size, location);
}
