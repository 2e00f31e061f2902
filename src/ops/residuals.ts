import { Node, Value, tensorType, type Graph } from "../ir/graph.js";
import { must } from "../util/assert.js";
import { freshDim, type Dim } from "../util/shape.js";
import * as e from "./emit.js";
import { stackedType } from "./iteration.js";
import type { RuleBuilder } from "./rule.js";
import { constantTensor } from "./shapes.js";

/**
 * What a Loop's derivatives read of the Loop itself: values of its body, one of each iteration, as further scanned
 * outputs. They are promised first, and the Loop is given those outputs that turn out to be read.
 */
export class Residuals {
  readonly body: Graph;
  /** The dimension of scanned outputs. */
  readonly length: Dim;
  /** Number of carries. */
  readonly carries: number;
  private readonly promised = new Map<Value, Value>();

  constructor(
    private readonly b: RuleBuilder,
    private readonly node: Node,
  ) {
    this.body = must(node.bodies["body"], `${node.label}: body`);
    this.carries = Math.max(0, node.inputs.length - 2);
    const lengths = node.outputs.slice(this.carries).map((o) => o?.shape?.[0]);
    this.length = lengths.find((d) => d !== undefined) ?? freshDim();
  }

  /** The value `inner` of the body in every iteration. */
  of(inner: Value): Value {
    const known = this.promised.get(inner) ?? this.scanned(inner);
    if (known) return known;
    const name = this.b.unique(`${this.node.name}/${inner.name}`);
    const value = new Value(name, stackedType(inner.type, this.length));
    this.promised.set(inner, value);
    return value;
  }

  /** An output of the node that is `inner` in every iteration. */
  private scanned(inner: Value): Value | undefined {
    const at = this.body.outputs
      .slice(1 + this.carries)
      .findIndex((o) => o === inner || (o.producer?.op === "Identity" && o.producer.inputs[0] === inner));
    return at < 0 ? undefined : (this.node.outputs[this.carries + at] ?? undefined);
  }

  /** Adds the outputs that `read` holds. */
  attach(read: ReadonlySet<Value>): void {
    const { body, node } = this;
    for (const [inner, value] of this.promised) {
      if (!read.has(value)) continue;
      const copy = new Value(this.b.unique(`${inner.name}_out`), inner.type);
      body.nodes.push(new Node("Identity", [inner], [copy], {}, {}, "", this.b.unique(`${inner.name}/Identity`)));
      // Outputs that the node leaves out at its end.
      while (node.outputs.length < body.outputs.length - 1) {
        const i = node.outputs.length;
        const type = body.outputs[1 + i]?.type ?? null;
        const left = new Value(
          this.b.unique(`${node.name}_out`),
          i < this.carries ? type : stackedType(type, this.length),
        );
        left.producer = node;
        node.outputs.push(left);
      }
      body.outputs.push(copy);
      node.outputs.push(value);
      value.producer = node;
      this.promised.delete(inner);
    }
  }

  /** How many iterations there were: an int64 scalar. */
  trips(): Value {
    const { b, node, body } = this;
    const count = node.inputs[0];
    if (count && this.runsToTheEnd()) return e.reshape(b, count, []);
    const [index] = body.inputs;
    const indices = this.of(must(index, `${node.label}: iteration number`));
    this.attach(new Set([indices]));
    const length = b.op("Shape", [indices], {}, { types: [tensorType("int64", [indices.shape?.length ?? 1])] });
    return e.squeeze(b, e.slice(b, length, b.int64s([0]), b.int64s([1]), [0], tensorType("int64", [1])), [0]);
  }

  /** Whether nothing but the trip count ends the Loop. */
  private runsToTheEnd(): boolean {
    const { b, node, body } = this;
    const isTrue = (v: Value | null | undefined, graph: Graph): boolean => {
      const tensor = v && (graph.initializers.get(v) ?? constantTensor(b, v));
      return tensor?.numbers().every((x) => x !== 0) ?? false;
    };
    if (node.inputs[1] && !isTrue(node.inputs[1], body)) return false;
    let going: Value | null | undefined = body.outputs[0];
    while (going?.producer?.op === "Identity") going = going.producer.inputs[0];
    return going === body.inputs[1] || isTrue(going, body);
  }
}
