import { existsSync, readFileSync, statSync } from "node:fs";
import { check } from "../util/assert.js";
import { byteLength, dtypeOfCode, type DType } from "../util/dtype.js";
import { onFile } from "../util/files.js";
import { sizeOf } from "../util/shape.js";
import { Table } from "./flatbuffer.js";

/**
 * Checkpoints of ONNX Runtime's on-device training: a flatbuffer with the identifier `ODTC`, version 2, after the
 * schemas ort_training_checkpoint.fbs and ort.fbs. Large ones keep their tensors in `<file>.data` beside it.
 */
export const checkpointIdentifier = "ODTC";
export const checkpointVersion = 2;

/** Fields by their number in the schema. */
export const checkpointFields = {
  checkpoint: { version: 0, moduleState: 1, optimizerGroups: 2, propertyBag: 3 },
  moduleState: { trainable: 0, frozen: 1, isNominal: 2, hasExternalData: 3 },
  tensor: { name: 0, doc: 1, dims: 2, dataType: 3, rawData: 4, stringData: 5, externalOffset: 6 },
  optimizerGroup: { name: 0, step: 1, learningRate: 2, states: 3 },
  parameterState: { parameter: 0, momentums: 1 },
  propertyBag: { ints: 0, floats: 1, strings: 2 },
  property: { name: 0, value: 1 },
} as const;

/** A tensor, its elements in memory or as a piece of a file. */
export interface CheckpointTensor {
  name: string;
  dtype: DType;
  shape: readonly number[];
  data: { bytes: Uint8Array } | { external: { file: string; offset: number; length: number } };
}

/** What an optimizer of ONNX Runtime keeps of one group of parameters. */
export interface OptimizerGroup {
  name: string;
  step: bigint;
  learningRate: number;
  /** By parameter: its momentums, under the names that the optimizer gives them. */
  states: ReadonlyMap<string, readonly CheckpointTensor[]>;
}

export interface Checkpoint {
  trainable: readonly CheckpointTensor[];
  frozen: readonly CheckpointTensor[];
  /** A nominal checkpoint holds names and shapes, and no elements. */
  nominal: boolean;
  optimizer: readonly OptimizerGroup[];
  properties: ReadonlyMap<string, bigint | number | string>;
}

/** The file that holds the elements of a large checkpoint. */
export const externalFile = (path: string): string => `${path}.data`;

/**
 * Reads the checkpoint `path`. Elements in `<path>.data` are checked for place and size, and stay there.
 *
 * Throws a UserError for what is no checkpoint, is truncated, or is of another version.
 */
export function readCheckpoint(path: string): Checkpoint {
  const bytes = onFile(path, "read", () => readFileSync(path));
  check(bytes.byteLength > 0, `${path}: the file is empty; a checkpoint of ONNX Runtime training is expected`);
  const identifier = Table.identifier(bytes);
  check(
    identifier === checkpointIdentifier,
    () =>
      `${path}: not a checkpoint of ONNX Runtime training: its identifier is ${JSON.stringify(identifier)}, "${checkpointIdentifier}" expected`,
  );
  const fields = checkpointFields.checkpoint;
  const root = Table.root(bytes, path);
  const version = root.int32(fields.version);
  check(
    version === checkpointVersion,
    `${path}: a checkpoint of version ${version}; version ${checkpointVersion} is read: write it again with ONNX Runtime 1.17 to 1.19`,
  );
  const state = root.table(fields.moduleState);
  check(state, `${path}: the checkpoint holds no parameters`);
  const { trainable, frozen, isNominal, hasExternalData } = checkpointFields.moduleState;
  const nominal = state.bool(isNominal);
  const external = state.bool(hasExternalData) ? externalData(path) : null;
  const tensors = (field: number): CheckpointTensor[] =>
    state.tables(field).map((t) => readTensor(path, t, nominal, external));
  const checkpoint = {
    trainable: tensors(trainable),
    frozen: tensors(frozen),
    nominal,
    optimizer: root.tables(fields.optimizerGroups).map((t) => readGroup(path, t)),
    properties: readProperties(root.table(fields.propertyBag)),
  };
  const names = new Set<string>();
  for (const { name } of [...checkpoint.trainable, ...checkpoint.frozen]) {
    check(!names.has(name), `${path}: it holds two parameters "${name}"; the file is damaged`);
    names.add(name);
  }
  return checkpoint;
}

interface ExternalFile {
  file: string;
  size: number;
}

function externalData(path: string): ExternalFile {
  const file = externalFile(path);
  check(existsSync(file), `${file}: no such file; the checkpoint keeps its tensors there, put it beside ${path}`);
  return { file, size: onFile(file, "read", () => statSync(file).size) };
}

function readTensor(path: string, table: Table, nominal: boolean, external: ExternalFile | null): CheckpointTensor {
  const fields = checkpointFields.tensor;
  const name = table.string(fields.name);
  const where = `${path}: tensor "${name}"`;
  const code = table.int32(fields.dataType);
  const dtype = dtypeOfCode(code);
  check(dtype !== undefined && dtype !== "string", `${where}: its element type ${code} is no numeric type of ONNX`);
  const shape = table.int64s(fields.dims).map(Number);
  const length = byteLength(dtype, sizeOf(shape));
  check(
    shape.every((d) => d >= 0) && Number.isSafeInteger(length),
    `${where}: shape [${shape.join(", ")}]; the file is damaged`,
  );
  const place = table.int64(fields.externalOffset, -1n);
  if (place >= 0n) {
    check(external, `${where}: its elements lie in another file, and the checkpoint says that it has none`);
    const { file, size } = external;
    check(
      Number(place) + length <= size,
      `${file}: tensor "${name}" ends at byte ${Number(place) + length}, the file at byte ${size}; the file is truncated`,
    );
    return { name, dtype, shape, data: { external: { file, offset: Number(place), length } } };
  }
  const bytes = table.bytes(fields.rawData) ?? new Uint8Array();
  const expected = nominal && bytes.byteLength === 0 ? 0 : length;
  check(
    bytes.byteLength === expected,
    `${where}: ${bytes.byteLength} bytes; ${dtype}[${shape.join(",")}] takes ${length}; the file is damaged`,
  );
  return { name, dtype, shape, data: { bytes } };
}

function readGroup(path: string, table: Table): OptimizerGroup {
  const { name, step, learningRate, states } = checkpointFields.optimizerGroup;
  const { parameter, momentums } = checkpointFields.parameterState;
  return {
    name: table.string(name),
    step: table.int64(step),
    learningRate: table.float32(learningRate),
    states: new Map(
      table
        .tables(states)
        .map((s) => [s.string(parameter), s.tables(momentums).map((t) => readTensor(path, t, false, null))]),
    ),
  };
}

function readProperties(bag: Table | null): Map<string, bigint | number | string> {
  const properties = new Map<string, bigint | number | string>();
  if (!bag) return properties;
  const { ints, floats, strings } = checkpointFields.propertyBag;
  const { name, value } = checkpointFields.property;
  for (const t of bag.tables(ints)) properties.set(t.string(name), t.int64(value));
  for (const t of bag.tables(floats)) properties.set(t.string(name), t.float32(value));
  for (const t of bag.tables(strings)) properties.set(t.string(name), t.string(value));
  return properties;
}
