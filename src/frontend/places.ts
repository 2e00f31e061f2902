/** Where transformers have their dropout. */
export const places = ["embeddings", "attention", "attention-output", "feed-forward", "classifier"] as const;
export type Place = (typeof places)[number];
