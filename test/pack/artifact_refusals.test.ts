import { copyFileSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { readCheckpoint, type Checkpoint } from "../../src/format/checkpoint.js";
import { writeCheckpoint } from "../../src/format/checkpoint_write.js";
import type { Model } from "../../src/ir/graph.js";
import { loadArtifact } from "../../src/pack/artifact.js";
import { loadSource } from "../../src/pack/load.js";
import { patch } from "../../src/pack/patch.js";
import { loadModel, saveModel } from "../../src/serde/index.js";
import { artifactOf } from "../support/artifacts.js";
import { rejects } from "../support/rejects.js";
import { temporaryFolder } from "../support/temp.js";

describe("training artifacts that do not fit are refused in one line", () => {
  const folder = temporaryFolder();
  const gates = artifactOf("gates");
  let count = 0;

  /** A folder with the artifacts of `gates`, the models and the checkpoint changed. */
  function changed(of: {
    training?: (m: Model) => void;
    evaluation?: (m: Model) => void;
    checkpoint?: (c: Checkpoint) => Checkpoint;
  }): { training: string; checkpoint: string } {
    const at = join(folder.path, String(count++));
    mkdirSync(at);
    for (const [name, change] of [
      ["training_model.onnx", of.training],
      ["eval_model.onnx", of.evaluation],
    ] as const) {
      const model = loadModel(join(dirname(gates.training), name));
      change?.(model);
      saveModel(model, join(at, name));
    }
    const checkpoint = join(at, "checkpoint");
    const read = readCheckpoint(gates.checkpoint);
    writeCheckpoint(checkpoint, of.checkpoint?.(read) ?? read);
    return { training: join(at, "training_model.onnx"), checkpoint };
  }

  const refused = (name: string, of: Parameters<typeof changed>[0], ...says: RegExp[]): void => {
    it(name, async () => {
      const { training, checkpoint } = changed(of);
      await rejects(() => loadArtifact(training, { checkpoint }, {}), ...says);
    });
  };

  it("none is refused as it is", async () => {
    const { training, checkpoint } = changed({});
    await loadArtifact(training, { checkpoint }, {});
  });

  it("no checkpoint is named", () =>
    rejects(
      () => loadSource(gates.training, { loss: { kind: "mse" } }),
      gates.training,
      /whose --checkpoint is missing/,
    ));

  it("the checkpoint is not there", () =>
    rejects(
      () => loadArtifact(gates.training, { checkpoint: join(folder.path, "absent") }, {}),
      /absent: cannot read/,
    ));

  it("the checkpoint is of another model", () =>
    rejects(
      () => loadArtifact(gates.training, { checkpoint: artifactOf("pools").checkpoint }, {}),
      artifactOf("pools").checkpoint,
      /holds no parameter "\w[^"]*", whose gradient .*training_model\.onnx computes; this is the checkpoint of another model/,
    ));

  refused(
    "a parameter of the checkpoint has another shape",
    {
      checkpoint: (c) => ({
        ...c,
        trainable: c.trainable.map((t) => (t.shape.length === 1 ? { ...t, shape: [1, ...t.shape] } : t)),
      }),
    },
    /checkpoint: "[^"]+" is float32\[1,\d\], float32\[\d\] in .*another model/,
  );
  refused(
    "the checkpoint holds a parameter that the model has not",
    { checkpoint: (c) => ({ ...c, frozen: [{ ...c.trainable[0]!, name: "stray" }] }) },
    /holds "stray", which is no input of .*another model/,
  );
  refused(
    "the checkpoint is nominal",
    { checkpoint: (c) => ({ ...c, nominal: true }) },
    /nominal checkpoint holds names/,
  );
  refused(
    "the training model computes no gradients",
    {
      training: ({ graph }) => {
        graph.nodes = graph.nodes.filter((n) => n.op !== "InPlaceAccumulatorV2");
        graph.outputs.length = 1;
      },
    },
    /training_model\.onnx: it computes no gradient of any parameter; make the artifacts with requires_grad/,
  );
  refused(
    "an operator of com.microsoft has no standard form",
    {
      training: ({ graph }) => {
        const loss = graph.outputs[0]!;
        const node = graph.nodes.find((n) => n.outputs.includes(loss))!;
        node.domain = "com.microsoft";
        node.op = "FancyGrad";
        node.name = "middle/fancy";
      },
    },
    /no form in standard operators is known for com\.microsoft::FancyGrad "middle\/fancy"; make the artifacts of a model without it/,
  );
  refused(
    "the evaluation model is of another model",
    {
      evaluation: ({ graph }) => {
        graph.inputs.find((v) => v.name === "x")!.name = "pixels";
      },
    },
    /they are of different models/,
  );

  it("the evaluation model is not there", async () => {
    const alone = join(folder.path, "alone");
    mkdirSync(alone);
    copyFileSync(gates.training, join(alone, "training_model.onnx"));
    await rejects(
      () => loadArtifact(join(alone, "training_model.onnx"), { checkpoint: gates.checkpoint }, {}),
      /eval_model\.onnx: no such file; name the evaluation model of the artifacts with --eval-model/,
    );
  });

  it("the labels are no input", () =>
    rejects(
      () => loadArtifact(gates.training, { checkpoint: gates.checkpoint, labels: "truth" }, {}),
      /--labels "truth": the model has no such input; it has x, target/,
    ));

  it("the logits are no value", () =>
    rejects(
      () => loadArtifact(gates.training, { checkpoint: gates.checkpoint, logits: "logit" }, {}),
      /--logits "logit": the evaluation model has no such value.*logits/,
    ));

  it("everything is frozen", () =>
    rejects(
      () => loadArtifact(gates.training, { checkpoint: gates.checkpoint }, { freeze: () => true }),
      /no parameter is left to train/,
    ));

  it("the base needs what their graph does not say", () =>
    rejects(
      () =>
        patch(gates.training, join(folder.path, "out"), {
          base: "kfac",
          artifact: { checkpoint: gates.checkpoint },
        }),
      /for K-FAC patch the exported model itself/,
    ));

  it("a loss is given beside theirs", () =>
    rejects(
      () =>
        patch(gates.training, join(folder.path, "out"), {
          loss: { kind: "mse" },
          artifact: { checkpoint: gates.checkpoint },
        }),
      /training artifacts bring their own loss/,
    ));
});
