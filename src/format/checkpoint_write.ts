import { closeSync, openSync } from "node:fs";
import { Builder } from "flatbuffers";
import { dtypeCodes } from "../util/dtype.js";
import { onFile, readFully, writeAll, writeAtomically, writeFileAtomically } from "../util/files.js";
import {
  checkpointFields,
  checkpointIdentifier,
  checkpointVersion,
  externalFile,
  type Checkpoint,
  type CheckpointTensor,
  type OptimizerGroup,
} from "./checkpoint.js";

/** ONNX Runtime moves the elements to a file of their own above this size: a flatbuffer holds at most 2 GB. */
const largestInside = 1_800_000_000;
/** Elements in the file beside start at multiples of this. */
const alignment = 64;

type Offset = number;

/**
 * Writes `checkpoint` to `path`, atomically. Where the parameters take more than `externalAbove` bytes, their elements go
 * to `<path>.data`, one tensor at a time. ONNX Runtime's training build opens what comes out.
 */
export function writeCheckpoint(path: string, checkpoint: Checkpoint, externalAbove = largestInside): void {
  const parameters = [...checkpoint.trainable, ...checkpoint.frozen];
  const total = parameters.reduce((n, t) => n + lengthOf(t), 0);
  const external = total > externalAbove;
  const places = external ? writeExternal(externalFile(path), parameters) : null;
  const b = new Builder(external ? 1024 : total + 1024);
  const tensors = (all: readonly CheckpointTensor[]): Offset =>
    vectorOf(
      b,
      all.map((t) => tensor(b, t, places)),
    );
  const { trainable, frozen, isNominal, hasExternalData } = checkpointFields.moduleState;
  const state = table(b, 4, [
    offsetField(trainable, tensors(checkpoint.trainable)),
    offsetField(frozen, tensors(checkpoint.frozen)),
    (to) => to.addFieldInt8(isNominal, Number(checkpoint.nominal), 0),
    (to) => to.addFieldInt8(hasExternalData, Number(external), 0),
  ]);
  const groups = vectorOf(
    b,
    checkpoint.optimizer.map((g) => group(b, g)),
  );
  const properties = propertyBag(b, checkpoint.properties);
  const { version, moduleState, optimizerGroups, propertyBag: bag } = checkpointFields.checkpoint;
  const root = table(b, 4, [
    (to) => to.addFieldInt32(version, checkpointVersion, 0),
    offsetField(moduleState, state),
    offsetField(optimizerGroups, groups),
    offsetField(bag, properties),
  ]);
  b.finish(root, checkpointIdentifier);
  const bytes = b.asUint8Array();
  writeFileAtomically(path, bytes);
}

const lengthOf = ({ data }: CheckpointTensor): number =>
  "bytes" in data ? data.bytes.byteLength : data.external.length;

/** The elements of a tensor of a checkpoint. */
export function bytesOf({ name, data }: CheckpointTensor): Uint8Array {
  if ("bytes" in data) return data.bytes;
  const { file, offset, length } = data.external;
  return onFile(file, "read", () => {
    const bytes = new Uint8Array(length);
    const fd = openSync(file, "r");
    try {
      readFully(fd, bytes, offset, () => `${file}: it ends within tensor "${name}"; the file is truncated`);
    } finally {
      closeSync(fd);
    }
    return bytes;
  });
}

/** Writes the elements one after the other; gives the place of each. */
function writeExternal(file: string, tensors: readonly CheckpointTensor[]): Map<CheckpointTensor, number> {
  const places = new Map<CheckpointTensor, number>();
  writeAtomically(file, (fd) => {
    let at = 0;
    for (const t of tensors) {
      const padding = (alignment - (at % alignment)) % alignment;
      writeAll(fd, new Uint8Array(padding));
      places.set(t, at + padding);
      writeAll(fd, bytesOf(t));
      at += padding + lengthOf(t);
    }
  });
  return places;
}

/** Sets one field of a table that has been started. */
type Field = (to: Builder) => void;

const offsetField =
  (field: number, offset: Offset): Field =>
  (to) => {
    to.addFieldOffset(field, offset, 0);
  };

function table(b: Builder, fields: number, set: readonly Field[]): Offset {
  b.startObject(fields);
  for (const field of set) field(b);
  return b.endObject();
}

function vectorOf(b: Builder, offsets: readonly Offset[]): Offset {
  b.startVector(4, offsets.length, 4);
  for (const o of [...offsets].reverse()) b.addOffset(o);
  return b.endVector();
}

function tensor(b: Builder, t: CheckpointTensor, places: ReadonlyMap<CheckpointTensor, number> | null): Offset {
  const fields = checkpointFields.tensor;
  const place = places?.get(t);
  const data = place === undefined ? b.createByteVector(bytesOf(t)) : 0;
  b.startVector(8, t.shape.length, 8);
  for (const d of [...t.shape].reverse()) b.addInt64(BigInt(d));
  const dims = b.endVector();
  const name = b.createString(t.name);
  return table(b, 7, [
    offsetField(fields.name, name),
    offsetField(fields.dims, dims),
    (to) => to.addFieldInt32(fields.dataType, dtypeCodes[t.dtype], 0),
    offsetField(fields.rawData, data),
    (to) => to.addFieldInt64(fields.externalOffset, BigInt(place ?? -1), -1n),
  ]);
}

function group(b: Builder, g: OptimizerGroup): Offset {
  const fields = checkpointFields.optimizerGroup;
  const { parameter, momentums } = checkpointFields.parameterState;
  const states = [...g.states].map(([of, tensors]) => {
    const moments = vectorOf(
      b,
      tensors.map((t) => tensor(b, t, null)),
    );
    const name = b.createString(of);
    return table(b, 2, [offsetField(parameter, name), offsetField(momentums, moments)]);
  });
  const all = vectorOf(b, states);
  const name = b.createString(g.name);
  return table(b, 4, [
    offsetField(fields.name, name),
    (to) => to.addFieldInt64(fields.step, g.step, 0n),
    (to) => to.addFieldFloat32(fields.learningRate, g.learningRate, 0),
    offsetField(fields.states, all),
  ]);
}

function propertyBag(b: Builder, properties: Checkpoint["properties"]): Offset {
  const { ints, floats, strings } = checkpointFields.propertyBag;
  const fields = checkpointFields.property;
  const [ofInts, ofFloats, ofStrings]: [Offset[], Offset[], Offset[]] = [[], [], []];
  for (const [key, value] of properties) {
    const name = offsetField(fields.name, b.createString(key));
    if (typeof value === "bigint") {
      ofInts.push(table(b, 2, [name, (to) => to.addFieldInt64(fields.value, value, 0n)]));
    } else if (typeof value === "number") {
      ofFloats.push(table(b, 2, [name, (to) => to.addFieldFloat32(fields.value, value, 0)]));
    } else {
      ofStrings.push(table(b, 2, [name, offsetField(fields.value, b.createString(value))]));
    }
  }
  const vectors = [vectorOf(b, ofInts), vectorOf(b, ofFloats), vectorOf(b, ofStrings)] as const;
  return table(b, 3, [
    offsetField(ints, vectors[0]),
    offsetField(floats, vectors[1]),
    offsetField(strings, vectors[2]),
  ]);
}
