import onnxProto from "onnx-proto";
import { dtypeCodes } from "../../src/util/dtype.js";

const { onnx } = onnxProto;
type DType = "float32" | "int64" | "bool";
type Attribute = number | number[];

/** Writes small ONNX graphs by hand: values are their names. */
export class HandMade {
  private readonly nodes: object[] = [];
  private readonly inputs: object[] = [];
  private readonly outputs: object[] = [];
  private readonly initializers: object[] = [];
  private readonly known = new Set<string>();

  /** A graph input; asking twice gives the same one. */
  input(name: string, dtype: DType, shape: readonly (number | string)[]): string {
    if (!this.known.has(name)) this.inputs.push(valueInfo(name, dtype, shape));
    this.known.add(name);
    return name;
  }

  scalar(value: number): string {
    return this.constant("float32", [], new Float32Array([value]));
  }

  ints(values: number[]): string {
    return this.constant("int64", [values.length], BigInt64Array.from(values.map(BigInt)));
  }

  op(opType: string, inputs: string[], attributes: Record<string, Attribute> = {}): string {
    const name = `v${this.nodes.length}`;
    const attribute = Object.entries(attributes).map(([key, value]) =>
      Array.isArray(value) ? { name: key, type: 7, ints: value } : { name: key, type: 2, i: value },
    );
    this.nodes.push({ opType, name, input: inputs, output: [name], attribute });
    return name;
  }

  output(value: string, name: string, dtype: DType, shape: readonly (number | string)[]): void {
    this.nodes.push({ opType: "Identity", name: `to ${name}`, input: [value], output: [name] });
    this.outputs.push(valueInfo(name, dtype, shape));
  }

  bytes(): Uint8Array {
    const graph = {
      name: "graph",
      node: this.nodes,
      input: this.inputs,
      output: this.outputs,
      initializer: this.initializers,
    };
    const model = onnx.ModelProto.create({
      irVersion: 10,
      opsetImport: [{ domain: "", version: 21 }],
      graph,
    });
    return onnx.ModelProto.encode(model).finish();
  }

  private constant(dtype: DType, dims: number[], data: Float32Array | BigInt64Array): string {
    const name = `c${this.initializers.length}`;
    const rawData = new Uint8Array(data.buffer);
    this.initializers.push({ name, dataType: dtypeCodes[dtype], dims, rawData });
    return name;
  }
}

const valueInfo = (name: string, dtype: DType, shape: readonly (number | string)[]) => ({
  name,
  type: {
    tensorType: {
      elemType: dtypeCodes[dtype],
      shape: { dim: shape.map((d) => (typeof d === "number" ? { dimValue: d } : { dimParam: d })) },
    },
  },
});
