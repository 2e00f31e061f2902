import type { Hash } from "node:crypto";
import { join } from "node:path";
import type { Tensor } from "onnxruntime-node";
import { weightsFile, type Manifest } from "../format/manifest.js";
import { checkTensors } from "../format/compare.js";
import { SafetensorsFile, writeSafetensors } from "../format/safetensors.js";
import { check, must } from "../util/assert.js";
import type { DType } from "../util/dtype.js";
import { sizeOf } from "../util/shape.js";
import { didYouMean } from "../util/suggest.js";
import { discard } from "./discard.js";
import { allocate, bytesOf, holds, unwrap, wrap, type HostData, type HostTensor } from "./tensors.js";

interface Slot {
  readonly dtype: DType;
  readonly dims: readonly number[];
  /** What graphs read. */
  current: Tensor;
  /** What a graph writes `next/…` into; made when first needed, so that frozen parameters have none. */
  twin: Tensor | null;
}

/**
 * The parameters and the state of a package, each in two buffers: a graph reads one and writes its `next/…` into the other,
 * and `flip` swaps them. Nothing is copied, and a step that is not taken leaves no trace.
 */
export class Store {
  private readonly slots = new Map<string, Slot>();

  constructor(
    private readonly folder: string,
    private readonly manifest: Manifest,
  ) {
    SafetensorsFile.using(join(folder, weightsFile), (file) => {
      for (const [name, { dtype, shape }] of Object.entries(manifest.parameters)) {
        this.add(name, dtype, shape, (data) => load(file, name, name, dtype, shape, data));
      }
      for (const [name, { dtype, shape, init }] of Object.entries(manifest.state)) {
        this.add(name, dtype, shape, (data) => {
          if ("tensor" in init) load(file, init.tensor, name, dtype, shape, data);
          else if ("identity" in init) fillDiagonal(data, shape, init.identity);
          else fill(data, init.fill);
        });
      }
    });
  }

  has(name: string): boolean {
    return this.slots.has(name);
  }

  names(): string[] {
    return [...this.slots.keys()];
  }

  current(name: string): Tensor {
    return this.slot(name).current;
  }

  /** The buffer for the new value of `name`. */
  twin(name: string): Tensor {
    const slot = this.slot(name);
    return (slot.twin ??= wrap(slot.dtype, allocate(slot.dtype, sizeOf(slot.dims), `"${name}"`), slot.dims));
  }

  /** Frees the buffers for the new values of `names`. */
  dropTwins(names: Iterable<string>): void {
    const buffers: ArrayBuffer[] = [];
    for (const name of names) {
      const slot = this.slot(name);
      const buffer = slot.twin && unwrap(slot.twin).data.buffer;
      if (buffer instanceof ArrayBuffer) buffers.push(buffer);
      slot.twin = null;
    }
    discard(buffers);
  }

  /** Makes `value` the new value of `name`. */
  takeTwin(name: string, value: Tensor): void {
    this.slot(name).twin = value;
  }

  /** Makes the new values of `names` the current ones. */
  flip(names: Iterable<string>): void {
    for (const name of names) {
      const slot = this.slot(name);
      const next = must(slot.twin, `the new value of "${name}"`);
      slot.twin = slot.current;
      slot.current = next;
    }
  }

  /** A copy of the value of `name`. */
  read(name: string): HostTensor {
    const { dtype, dims, current } = this.slot(name);
    return { dtype, dims, data: (current.data as HostData).slice() };
  }

  write(name: string, value: HostTensor): void {
    const { dtype, dims, current } = this.slot(name);
    check(
      value.dtype === dtype && value.dims.join() === dims.join() && holds(value.data, dtype),
      `"${name}" is ${dtype}[${dims.join(",")}]; ${value.dtype}[${value.dims.join(",")}] came`,
    );
    bytesOf(current.data as HostData).set(bytesOf(value.data));
  }

  /** Writes parameters and state to a safetensors file; `names` limits which. `hash` is given every byte. */
  save(
    path: string,
    metadata: Readonly<Record<string, string>>,
    { names = this.slots.keys(), hash }: { names?: Iterable<string>; hash?: Hash } = {},
  ): void {
    const tensors = [...names].map((name) => {
      const { dtype, dims, current } = this.slot(name);
      return { name, dtype, shape: dims, bytes: bytesOf(current.data as HostData) };
    });
    writeSafetensors(path, tensors, metadata, hash);
  }

  /** Reads parameters and state back, every one of them, once `accept` has seen the file's metadata; returns these. */
  load(path: string, accept: (metadata: ReadonlyMap<string, string>) => void): ReadonlyMap<string, string> {
    return SafetensorsFile.using(path, (file) => {
      accept(file.metadata);
      // All of the file is checked before any of it is taken.
      const slots = [...this.slots].map(([name, { dtype, dims }]) => [name, { dtype, shape: dims }] as const);
      checkTensors(file, slots, {
        are: "a checkpoint of another model or optimizer",
        advice: "resume with the package that it was made with",
      });
      for (const [name, { current }] of this.slots) file.readInto(name, bytesOf(current.data as HostData));
      return file.metadata;
    });
  }

  /** Names that make up `weights.safetensors`: the parameters and the state that starts from a tensor there. */
  weightNames(): string[] {
    const { parameters, state } = this.manifest;
    const buffers = Object.keys(state).filter((name) => "tensor" in must(state[name], name).init);
    return [...Object.keys(parameters), ...buffers];
  }

  private add(name: string, dtype: DType, dims: readonly number[], initialize: (data: HostData) => void): void {
    const where = `${join(this.folder, "manifest.json")}: "${name}"`;
    const data = allocate(dtype, sizeOf(dims), where);
    initialize(data);
    this.slots.set(name, { dtype, dims, current: wrap(dtype, data, dims), twin: null });
  }

  private slot(name: string): Slot {
    const slot = this.slots.get(name);
    check(slot, () => `the package has no parameter or state "${name}"${didYouMean(name, this.slots.keys())}`);
    return slot;
  }
}

function fill(data: HostData, value: number): void {
  if (data instanceof BigInt64Array || data instanceof BigUint64Array) data.fill(BigInt(value));
  else data.fill(value);
}

/** Writes `value` on the diagonal of the last two axes, over zeros. */
function fillDiagonal(data: HostData, shape: readonly number[], value: number): void {
  const [rows = 1, columns = 1] = shape.slice(-2);
  fill(data, 0);
  for (let start = 0; start < data.length; start += rows * columns) {
    for (let i = 0; i < Math.min(rows, columns); i++)
      fill(data.subarray(start + i * (columns + 1)).subarray(0, 1), value);
  }
}

function checkEntry(file: SafetensorsFile, key: string, name: string, dtype: DType, dims: readonly number[]): void {
  const entry = file.entry(key);
  check(
    entry.dtype === dtype && entry.shape.join() === dims.join(),
    `${file.path}: "${key}" is ${entry.dtype}[${entry.shape.join(",")}]; ` +
      `"${name}" is ${dtype}[${dims.join(",")}] in manifest.json`,
  );
}

function load(file: SafetensorsFile, key: string, name: string, dtype: DType, dims: readonly number[], data: HostData) {
  checkEntry(file, key, name, dtype, dims);
  file.readInto(key, bytesOf(data));
}
