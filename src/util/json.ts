/** What JSON can hold; states that go into checkpoints are of this type. */
export type JsonValue = null | boolean | number | string | JsonValue[] | { [key: string]: JsonValue };
