import type { StepResult } from "../runtime/engine.js";
import { writeJson } from "../tasks/glue/files.js";
import type { EvaluationSummary } from "../train/evaluate.js";
import type { Callbacks, FitMoment } from "../train/options.js";

interface Settings {
  perEpoch: number;
  maxSteps: number;
  epochs: number;
  loggingSteps: number;
  saveSteps: number;
  batchSize: number;
  /** Steps that were taken before this run. */
  resumed: number;
}

/** Keeps `trainer_state.json` as Hugging Face's Trainer writes it: the log's history, and where training stands. */
export class TrainerLog implements Callbacks {
  private readonly history: Record<string, number>[] = [];
  private recent: number[] = [];
  private sum = 0;
  private step: number;
  /** Steps of this run that were taken. */
  steps = 0;

  constructor(
    private readonly path: string,
    private readonly settings: Settings,
  ) {
    this.step = settings.resumed;
  }

  /** Mean loss over this run's steps. */
  get meanLoss(): number {
    return this.sum / Math.max(1, this.steps);
  }

  onStep({ wasSkipped, diagnostics, step }: StepResult): void {
    if (wasSkipped) return;
    const loss = diagnostics.loss ?? NaN;
    this.step = step;
    this.steps++;
    this.sum += loss;
    this.recent.push(loss);
    if (step % this.settings.loggingSteps !== 0) return;
    const mean = this.recent.reduce((total, each) => total + each, 0) / this.recent.length;
    this.log({ loss: mean, grad_norm: diagnostics.grad_norm ?? NaN });
    this.recent = [];
  }

  onEvaluation({ loss, metrics }: EvaluationSummary, { step }: FitMoment): void {
    this.step = step;
    const named = Object.entries({ loss, ...metrics }).map(([name, value]) => [`eval_${name}`, value] as const);
    this.log(Object.fromEntries(named));
  }

  onCheckpoint(): void {
    this.write();
  }

  write(): void {
    const { perEpoch, maxSteps, epochs, loggingSteps, saveSteps, batchSize } = this.settings;
    writeJson(this.path, {
      epoch: this.step / perEpoch,
      global_step: this.step,
      log_history: this.history,
      logging_steps: loggingSteps,
      max_steps: maxSteps,
      num_train_epochs: epochs,
      save_steps: saveSteps,
      train_batch_size: batchSize,
    });
  }

  private log(values: Record<string, number>): void {
    this.history.push({ ...values, epoch: this.step / this.settings.perEpoch, step: this.step });
  }
}
