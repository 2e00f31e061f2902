import { float, int, string, type Attribute, type Attributes } from "../ir/graph.js";
import type { Sample, SampleInput } from "./rule.js";

const steps = 3;
const batch = 2;
const inputs = 2;
const hidden = 2;

const strings = (...value: string[]): Attribute => ({ type: "strings", value });
const floats = (...value: number[]): Attribute => ({ type: "floats", value });

/** Activations of every kind that the runtime has, of which each layer takes as many as it needs. */
const named = ["Softsign", "ScaledTanh", "Softplus", "HardSigmoid", "Elu", "Affine"];

/** Samples of a layer with 1 (RNN), 3 (GRU) or 4 (LSTM) gates. */
export function recurrentSamples(gates: 1 | 3 | 4): Sample[] {
  const rows = gates * hidden;
  const hasCell = gates === 4;
  const outputs = hasCell ? 3 : 2;
  const activations = { 1: 1, 3: 2, 4: 3 }[gates];
  const x = (...shape: number[]): SampleInput => ({ shape });
  const weights = (d: number): SampleInput[] => [
    x(steps, batch, inputs),
    x(d, rows, inputs),
    x(d, rows, hidden),
    x(d, 2 * rows),
  ];
  const states = (d: number): SampleInput[] => Array.from({ length: hasCell ? 2 : 1 }, () => x(d, batch, hidden));
  const lengths: SampleInput = { shape: [batch], dtype: "int32", values: [2, 3], constant: false };
  const attributes = (more: Attributes = {}): Attributes => ({ hidden_size: int(hidden), ...more });
  const samples: Sample[] = [
    { name: "forward", inputs: weights(1), attributes: attributes(), outputs },
    {
      name: "no biases, reverse",
      inputs: weights(1).slice(0, 3),
      attributes: attributes({ direction: string("reverse") }),
      outputs,
    },
    {
      name: "both directions, lengths, initial states",
      inputs: [...weights(2), lengths, ...states(2)],
      attributes: attributes({ direction: string("bidirectional") }),
      outputs,
    },
    {
      name: "other activations, in each direction its own, and clipping",
      inputs: weights(2),
      attributes: attributes({
        direction: string("bidirectional"),
        activations: strings(...named.slice(0, 2 * activations)),
        activation_alpha: floats(1.1, 0.3, 0.9, 0.8),
        activation_beta: floats(0.7, 0.4, 0.1),
        clip: float(1.1),
      }),
      outputs,
    },
  ];
  if (gates === 3)
    samples.push({
      name: "linear before reset, initial state",
      inputs: [...weights(1), null, ...states(1)],
      attributes: attributes({ linear_before_reset: int(1) }),
      outputs,
    });
  if (hasCell)
    samples.push(
      {
        name: "peepholes, lengths, reverse",
        inputs: [...weights(1), lengths, ...states(1), x(1, 3 * hidden)],
        attributes: attributes({ direction: string("reverse") }),
        outputs,
      },
      {
        name: "input and forget gates coupled, the last states alone",
        inputs: weights(1),
        attributes: attributes({ input_forget: int(1) }),
        outputs,
      },
    );
  return samples;
}
