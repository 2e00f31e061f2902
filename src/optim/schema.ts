import { z, type ZodDefault, type ZodNumber, type ZodObject } from "zod";
import { rangeProblem, type Range } from "../util/range.js";
import type { HyperSpec } from "./part.js";

interface HyperField {
  range: Range;
  follows: string | undefined;
}

const fields = new WeakMap<object, HyperField>();

/**
 * A hyper-parameter in the schema of a part: a number that every step is fed, so that it may change from step to step; the
 * schema's value is what it starts from. `follows`: another hyper-parameter whose value it takes where it is not given.
 */
export function hyper(
  fallback: number,
  description: string,
  range: Range,
  options: { follows?: string } = {},
): ZodDefault<ZodNumber> {
  const number = z.number({ error: ({ input }) => `${String(input)} came, a number expected` }).superRefine((x, c) => {
    const problem = rangeProblem(x, range);
    if (problem !== null) c.addIssue({ code: "custom", message: problem });
  });
  const field = number.default(fallback).describe(description);
  fields.set(field, { range, follows: options.follows });
  return field;
}

/** Names of the hyper-parameters in `schema`. */
export const hyperNames = (schema: ZodObject): string[] =>
  Object.entries(schema.shape).flatMap(([name, field]) => (fields.has(field as object) ? [name] : []));

/** The hyper-parameters of `schema`, or those named, with the values that `o` gives them. */
export function hyperOf<S extends ZodObject>(
  schema: S,
  o: z.output<S>,
  names: readonly (keyof S["shape"] & string)[] = hyperNames(schema),
): HyperSpec[] {
  return names.map((name) => {
    const field = schema.shape[name] as ZodDefault<ZodNumber>;
    const known = fields.get(field);
    if (!known) throw new Error(`internal error: "${name}" is no hyper-parameter`);
    return {
      name,
      default: (o as Record<string, unknown>)[name] as number,
      description: field.description ?? "",
      range: known.range,
      ...(known.follows !== undefined && { follows: known.follows }),
    };
  });
}

/** Ranges that many hyper-parameters have. */
export const ranges = {
  rate: { min: 0, reason: "a negative rate would climb the loss" },
  decay: { min: 0, reason: "a negative decay would blow the weights up" },
  radius: { min: 0, reason: "a radius is a length" },
  average: { min: 0, below: 1, reason: "it is the weight of the past in a moving average" },
  stabilizer: { min: 0, reason: "it keeps a denominator from zero" },
} satisfies Record<string, Range>;
