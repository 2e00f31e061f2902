/** Errors that a user can act on: one line that says where, what came, what was expected, and what to do. */
export class UserError extends Error {
  override name = "UserError";
}

/** Throws `UserError` with `message` unless `condition` holds: for input that a user controls. */
export function check(condition: unknown, message: string | (() => string)): asserts condition {
  if (!condition) throw new UserError(typeof message === "string" ? message : message());
}

/** Throws unless `condition` holds: for what only a fault of this program can break. */
export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`internal error: ${message}`);
}

/** `value`, or an internal error that names what was missing. */
export function must<T>(value: T | null | undefined, what: string): T {
  invariant(value !== null && value !== undefined, `${what} is missing`);
  return value;
}
