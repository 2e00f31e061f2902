import { drawSpec } from "./draw.js";
import { confusionSpec, layerMap } from "./grids.js";
import { curvatureByLayer, curvatureTitles } from "./layers.js";
import type { RunLog } from "./run_log.js";
import type { EventImage } from "./tensorboard.js";

const width = 480;

/** The pictures of a run that are no curves: the last confusion matrix, and the curvature of its layers over time. */
export async function eventImages(log: RunLog): Promise<EventImage[]> {
  const { confusion, curvature, elements, about, lastStep } = log;
  const images: EventImage[] = [];
  const add = async (tag: string, step: number, spec: object): Promise<void> => {
    const { png } = await drawSpec(spec);
    // A PNG's first chunk holds its size.
    images.push({ tag, step, png, width: png.readUInt32BE(16), height: png.readUInt32BE(20) });
  };
  if (confusion) {
    const content = { counts: confusion.counts, names: about.classes ?? [], subtitle: `step ${confusion.step}` };
    await add("eval/confusion_matrix", confusion.step, confusionSpec(content, "light", width));
  }
  for (const [kind, tracks] of curvature) {
    const { title, value } = curvatureTitles(kind);
    await add(kind, lastStep, layerMap(title, value, curvatureByLayer(tracks, elements), width));
  }
  return images;
}
