import { closeSync, existsSync, fsyncSync, openSync, readSync, realpathSync, renameSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { Model } from "../ir/graph.js";
import type { Tensor } from "../ir/tensor.js";
import { check } from "../util/assert.js";
import { fileError, writeAll } from "../util/files.js";
import { largestMessage } from "./load.js";
import type { Draft, TensorProto } from "./proto.js";
import { DataLocation, encodeModel } from "./schema.js";
import { inline, type Place } from "./tensors.js";
import { writeMainGraph, writeModel } from "./write.js";

/** Initializers above this total go to a data file. */
const inlineLimit = 1.5e9;
/** Smaller tensors stay in the model: shapes and axes must be there when it is opened without its data. */
const smallest = 1024;
/** Offsets of the data file, so that it can be mapped. */
const page = 4096;
const chunk = 8 << 20;

const totalBytes = (model: Model): number => {
  let total = 0;
  for (const t of model.graph.initializers.values()) total += t.byteLength;
  return total;
};

/** The file's bytes, weights included. */
export function serializeModel(model: Model): Uint8Array {
  const total = totalBytes(model);
  check(
    total < largestMessage,
    `the model holds ${total} bytes of weights and one ONNX file at most 2 GB; save it with external data`,
  );
  return encodeModel(writeModel(model), writeMainGraph(model));
}

/** Copies a tensor's bytes to `fd`, those in a file piece by piece. */
function copyBytes(tensor: Tensor, fd: number): void {
  if (!("external" in tensor.storage)) {
    writeAll(fd, tensor.bytes());
    return;
  }
  const { file, offset, length } = tensor.storage.external;
  const from = openSync(file, "r");
  try {
    const buffer = new Uint8Array(Math.min(chunk, length));
    for (let done = 0; done < length;) {
      const n = readSync(from, buffer, 0, Math.min(buffer.byteLength, length - done), offset + done);
      check(n > 0, `${file}: ends before byte ${offset + length}; the external data was truncated`);
      writeAll(fd, buffer.subarray(0, n));
      done += n;
    }
  } finally {
    closeSync(from);
  }
}

/** Appends tensors to a data file and refers to them by offset; equal tensors are written once. */
function appendTo(fd: number, location: string): Place {
  let position = 0;
  const known = new Map<Tensor, Draft<TensorProto>>();
  return (tensor) => {
    if ("strings" in tensor.storage || tensor.byteLength < smallest) return inline(tensor);
    const before = known.get(tensor);
    if (before) return before;
    const padding = (page - (position % page)) % page;
    writeAll(fd, new Uint8Array(padding));
    const offset = position + padding;
    copyBytes(tensor, fd);
    position = offset + tensor.byteLength;
    const entries = { location, offset: String(offset), length: String(tensor.byteLength) };
    const draft = {
      dataLocation: DataLocation.EXTERNAL,
      externalData: Object.entries(entries).map(([key, value]) => ({ key, value })),
    };
    known.set(tensor, draft);
    return draft;
  };
}

const real = (file: string): string => (existsSync(file) ? realpathSync(file) : file);

/**
 * Writes `file`, and `<file>.data` with the weights when they exceed 1.5 GB or `external` asks for it. Nothing is seen
 * under the final names before it is complete. External tensors are copied without being held in memory.
 */
export function saveModel(model: Model, file: string, options: { external?: boolean } = {}): void {
  const external = options.external ?? totalBytes(model) > inlineLimit;
  const data = join(dirname(file), `${basename(file)}.data`);
  const temporary = (name: string): string => `${name}.${process.pid}.tmp`;
  if (external) {
    const overwritten = [...model.graph.initializers.values()].some(
      ({ storage }) => "external" in storage && real(storage.external.file) === real(data),
    );
    check(!overwritten, `${data}: the model's weights are read from this very file; save under another name`);
  }
  const written: string[] = [];
  const write = (name: string, body: (fd: number) => void): void => {
    const fd = openSync(temporary(name), "w");
    written.push(name);
    try {
      body(fd);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  };
  try {
    let bytes: Uint8Array | undefined;
    if (external) {
      write(data, (fd) => {
        bytes = encodeModel(writeModel(model), writeMainGraph(model, appendTo(fd, basename(data))));
      });
    }
    write(file, (fd) => writeAll(fd, bytes ?? serializeModel(model)));
    for (const name of written) renameSync(temporary(name), name);
  } catch (error) {
    for (const name of written) rmSync(temporary(name), { force: true });
    throw fileError(error, file, "write");
  }
}
