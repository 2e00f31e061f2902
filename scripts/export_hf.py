#!/usr/bin/env python3
"""Export a Hugging Face sequence classifier as an ONNX model that can be trained.

    python scripts/export_hf.py --model roberta-base --labels 2 --out roberta --mode train
    python scripts/export_hf.py --config config.json --seed 7 --out tiny --exporter dynamo

Writes model.onnx (its weights in model.onnx.data above 1.5 GB), config.json and, where the model comes with one,
tokenizer.json. What a plain `torch.onnx.export` loses, and this keeps:

* names: every parameter is an initializer under its PyTorch name. Constant folding would transpose linear weights into
  anonymous initializers, and both exporters merge parameters that happen to hold equal values, such as fresh biases.
* dropout: attention runs as `eager`, because the fused attention hides its dropout from the exporters.
* shapes: batch and sequence stay dynamic.

Every export is checked before it is written: names, dropout count, training mode of dropout and batch norm, and the
output in evaluation mode against PyTorch, at sizes other than the traced ones.
"""

from __future__ import annotations

import argparse
import contextlib
import inspect
import json
import logging
import math
import os
import sys
import tempfile
import textwrap
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import numpy_helper
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel

EXTERNAL_ABOVE = 1_500_000_000
Inputs = dict[str, torch.Tensor]


class ExportError(Exception):
    """An export that failed one of its checks, or an argument that cannot be used."""


def require(condition: bool, message: str) -> None:
    """Raises ExportError with `message` unless `condition` holds; unlike `assert` it survives `python -O`."""
    if not condition:
        raise ExportError(message)


# Models and their inputs


def load_model(source: str, labels: int | None) -> PreTrainedModel:
    """A pretrained classifier, float32, with eager attention."""
    extra = {} if labels is None else {"num_labels": labels}
    return AutoModelForSequenceClassification.from_pretrained(
        source, attn_implementation="eager", dtype=torch.float32, **extra
    )


def random_model(config_file: Path, seed: int, labels: int | None) -> PreTrainedModel:
    """A classifier of this configuration with random weights drawn from `seed`."""
    fields = json.loads(config_file.read_text(encoding="utf8"))
    require("model_type" in fields, f'{config_file}: no "model_type"; add it, for instance "roberta"')
    if labels is not None:
        fields["num_labels"] = labels
    config = AutoConfig.for_model(fields.pop("model_type"), **fields)
    torch.manual_seed(seed)
    return AutoModelForSequenceClassification.from_config(config, attn_implementation="eager", dtype=torch.float32)


def uses_token_types(model: PreTrainedModel) -> bool:
    """Whether segment ids make a difference to the model."""
    accepted = "token_type_ids" in inspect.signature(model.forward).parameters
    return accepted and getattr(model.config, "type_vocab_size", 0) > 1


def prepare_decoder(model: PreTrainedModel) -> None:
    """Lets a decoder classify batches: no cache among its outputs, and a padding token to find each row's last one."""
    config = model.config
    config.use_cache = False
    if config.pad_token_id is None and getattr(config, "eos_token_id", None) is not None:
        config.pad_token_id = config.eos_token_id
        print(f"note: the model has no padding token; {config.pad_token_id}, its end of text, serves as one")


def example_inputs(model: PreTrainedModel, batch: int, sequence: int, seed: int = 0) -> Inputs:
    """Random ids, each row but the first padded on the right by a different amount."""
    draw = torch.Generator().manual_seed(seed)
    pad = model.config.pad_token_id if model.config.pad_token_id is not None else 0
    ids = torch.randint(min(4, model.config.vocab_size - 1), model.config.vocab_size, (batch, sequence), generator=draw)
    mask = torch.ones(batch, sequence, dtype=torch.int64)
    for row in range(1, batch):
        keep = max(1, sequence - 1 - row % sequence)
        mask[row, keep:] = 0
    inputs = {"input_ids": torch.where(mask == 1, ids, pad), "attention_mask": mask}
    if uses_token_types(model):
        inputs["token_type_ids"] = (torch.arange(sequence) >= sequence // 2).long().expand(batch, sequence) * mask
    return inputs


def longest_sequence(model: PreTrainedModel) -> int | None:
    """The longest input the position table allows; RoBERTa's positions start after the padding id."""
    limit = getattr(model.config, "max_position_embeddings", None)
    if limit is None or limit <= 0:
        return None
    padded_positions = any(
        isinstance(module, torch.nn.Embedding) and module.num_embeddings == limit and module.padding_idx is not None
        for name, module in model.named_modules()
        if name.endswith("position_embeddings")
    )
    return limit - (model.config.pad_token_id or 0) - 1 if padded_positions else limit


# The two exporters


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hides the exporters' notes on optional packages and on tracing."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels):
                logger.setLevel(level)


def export(
    model: torch.nn.Module,
    inputs: Inputs,
    *,
    exporter: str = "torchscript",
    opset: int | None = None,
    mode: str = "eval",
    axes: dict[str, dict[int, str]] | None = None,
    longest: dict[str, int] | None = None,
    output: str = "logits",
    fold: bool = False,
) -> onnx.ModelProto:
    """The ONNX model of `model`, traced on `inputs`; the model keeps its own mode.

    axes: dynamic axes by input name; `longest`: upper bounds of the dynamic sizes. fold: what a plain export does, that
    is folding of constants and merging of equal parameters; names are lost.
    """
    axes = axes or {}
    require(
        mode == "eval" or opset is None or opset >= 12,
        f"opset {opset} has no dropout in training mode; export at opset 12 or later",
    )
    training = model.training
    buffers = {name: value.clone() for name, value in model.named_buffers()}
    model.train(mode == "train")
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.inplace = False  # torch.export loses dropouts that work in place
    try:
        with tempfile.TemporaryDirectory() as folder, quiet():
            file = os.path.join(folder, "model.onnx")
            if exporter == "torchscript":
                leading = next(iter(axes.values()), {}).get(0)
                # In evaluation mode the exporter folds batch norms into convolutions, whatever it is told of folding.
                norms = any(isinstance(m, torch.nn.modules.batchnorm._BatchNorm) for m in model.modules())
                evaluation = torch.onnx.TrainingMode.PRESERVE if norms and not fold else torch.onnx.TrainingMode.EVAL
                torch.onnx.export(
                    model,
                    (),
                    file,
                    kwargs=inputs,
                    input_names=list(inputs),
                    output_names=[output],
                    opset_version=opset or 17,
                    dynamo=False,
                    do_constant_folding=fold,
                    training=torch.onnx.TrainingMode.TRAINING if mode == "train" else evaluation,
                    dynamic_axes={**axes, output: {} if leading is None else {0: leading}},
                )
            else:
                limits = longest or {}
                dims = {
                    name: torch.export.Dim(name, max=limits[name]) if name in limits else torch.export.Dim(name)
                    for name in {name for by_axis in axes.values() for name in by_axis.values()}
                }
                shapes = {name: {axis: dims[dim] for axis, dim in axes.get(name, {}).items()} for name in inputs}
                program = torch.onnx.export(
                    model,
                    (),
                    kwargs=inputs,
                    input_names=list(inputs),
                    output_names=[output],
                    opset_version=opset or 18,
                    dynamo=True,
                    optimize=fold,
                    dynamic_shapes=shapes,
                    verbose=False,
                )
                program.save(file, external_data=True)
            result = onnx.load(file)
    finally:
        model.train(training)
        with torch.no_grad():
            for name, value in model.named_buffers():
                value.copy_(buffers[name])
    keep_buffers(result, buffers)
    strip_traces(result)
    if not fold:
        separate_equal_parameters(result, model)
    return result


def keep_buffers(model: onnx.ModelProto, buffers: dict[str, torch.Tensor]) -> None:
    """Gives running statistics their values back: tracing a model in training mode moves them."""
    for tensor in model.graph.initializer:
        if tensor.name in buffers and tensor.name.endswith(("running_mean", "running_var")):
            tensor.CopyFrom(numpy_helper.from_array(buffers[tensor.name].numpy(), tensor.name))


def strip_traces(model: onnx.ModelProto) -> None:
    """Drops the exporter's source listings and their file paths; module scopes and dynamic shapes stay."""
    kept = {"pkg.torch.onnx.name_scopes"}
    graph = model.graph
    for item in [model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer, *graph.value_info]:
        entries = [entry for entry in item.metadata_props if entry.key in kept]
        del item.metadata_props[:]
        item.metadata_props.extend(entries)
        item.doc_string = ""


def separate_equal_parameters(model: onnx.ModelProto, source: torch.nn.Module) -> None:
    """Undoes the TorchScript exporter's merging of parameters of equal value.

    It leaves `parameter = Identity(other parameter)`; such a node becomes an initializer again. Truly shared (tied)
    tensors appear under one name in `named_parameters`, and stay one initializer.
    """
    parameters = dict(source.named_parameters())
    initializers = {tensor.name: tensor for tensor in model.graph.initializer}
    merged = [
        node
        for node in model.graph.node
        if node.op_type == "Identity" and node.input[0] in initializers and node.output[0] in parameters
    ]
    for node in merged:
        tensor = model.graph.initializer.add()
        tensor.CopyFrom(initializers[node.input[0]])
        tensor.name = node.output[0]
        model.graph.node.remove(node)


# Checks


def count_dropouts(model: torch.nn.Module, inputs: Inputs) -> tuple[int, int]:
    """How many dropouts with p > 0 one training-mode call runs, and how many of them hide in fused attention."""
    plain, fused = torch.nn.functional.dropout, torch.nn.functional.scaled_dot_product_attention
    counts = [0, 0]

    def dropout(input: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> torch.Tensor:
        counts[0] += training and p > 0
        return plain(input, p, training, inplace)

    def attention(*arguments: object, **options: object) -> torch.Tensor:
        counts[1] += float(options.get("dropout_p", arguments[4] if len(arguments) > 4 else 0)) > 0  # type: ignore
        return fused(*arguments, **options)  # type: ignore

    training = model.training
    state = torch.random.get_rng_state()
    buffers = {name: value.clone() for name, value in model.named_buffers()}
    torch.nn.functional.dropout, torch.nn.functional.scaled_dot_product_attention = dropout, attention
    try:
        with torch.no_grad():
            model.train()(**inputs)
    finally:
        torch.nn.functional.dropout, torch.nn.functional.scaled_dot_product_attention = plain, fused
        model.train(training)
        torch.random.set_rng_state(state)
        with torch.no_grad():
            for name, value in model.named_buffers():
                value.copy_(buffers[name])
    return counts[0], counts[1]


def constants(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """Small constant values by name, from initializers and Constant nodes, seen through casts."""
    found = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer if math.prod(t.dims) <= 1}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            found[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
        elif node.op_type in ("Cast", "CastLike", "Identity") and node.input[0] in found:
            found[node.output[0]] = found[node.input[0]]
    return found


def training_nodes(model: onnx.ModelProto, op: str) -> list[onnx.NodeProto]:
    """The Dropout (of a ratio above 0) or BatchNormalization nodes that are in training mode."""
    nodes = [node for node in model.graph.node if node.op_type == op]
    if op == "BatchNormalization":
        return [node for node in nodes if any(a.name == "training_mode" and a.i == 1 for a in node.attribute)]
    known = constants(model)

    def argument(node: onnx.NodeProto, index: int, default: float) -> float:
        given = len(node.input) > index and node.input[index] != ""
        require(not given or node.input[index] in known, f"Dropout {node.name}: input {index} is not a constant")
        return float(known[node.input[index]]) if given else default

    return [node for node in nodes if argument(node, 2, False) and argument(node, 1, 0.5) > 0]


def check_names(exported: onnx.ModelProto, model: torch.nn.Module) -> None:
    """Every parameter is an initializer under its own name, with its own shape and values."""
    initializers = {tensor.name: tensor for tensor in exported.graph.initializer}
    used = {name for node in exported.graph.node for name in node.input}
    parameters = dict(model.named_parameters())
    lost = [name for name in parameters if name not in initializers]
    # A parameter that the forward pass never reads cannot be traced: BERT's pooler under another head, say.
    read = parameters_read(model) if lost else set()
    lost = [name for name in lost if name in read]
    require(not lost, f"{len(lost)} parameters are no initializers of the export, the first: {', '.join(lost[:5])}")
    for name, parameter in parameters.items():
        if name in initializers:
            same = np.array_equal(numpy_helper.to_array(initializers[name]), parameter.detach().numpy())
            require(same, f"initializer {name} differs from the parameter")
            require(name in used, f"initializer {name} is read by no node")


def parameters_read(model: torch.nn.Module) -> set[str]:
    """Names of the parameters that the logits depend on."""
    inputs = example_inputs(model, 2, 6)  # type: ignore[arg-type]
    names, values = zip(*model.named_parameters())
    gradients = torch.autograd.grad(logits_of(model, inputs).sum(), values, allow_unused=True)
    return {name for name, gradient in zip(names, gradients) if gradient is not None}


def check_training_mode(exported: onnx.ModelProto, model: torch.nn.Module, inputs: Inputs, mode: str) -> int:
    """Dropout and batch norm are in the mode asked for, none is lost; returns the number of live dropouts."""
    live = training_nodes(exported, "Dropout")
    norms = training_nodes(exported, "BatchNormalization")
    if mode == "eval":
        require(not live and not norms, f"{len(live)} Dropout, {len(norms)} BatchNormalization still in training mode")
        return 0
    ran, hidden = count_dropouts(model, inputs)
    require(hidden == 0, f"{hidden} fused attentions hide a dropout; the model does not support eager attention")
    require(len(live) == ran, f"{len(live)} Dropout nodes in training mode; the model runs {ran} dropouts")
    modules = sum(isinstance(m, torch.nn.Dropout) and m.p > 0 for m in model.modules())
    if ran != modules:
        print(f"note: {modules} dropout modules, of which {ran} dropouts run (shared or unused modules)")
    batch_norms = sum(isinstance(m, torch.nn.modules.batchnorm._BatchNorm) for m in model.modules())
    require(len(norms) == batch_norms, f"{len(norms)} BatchNormalization in training mode; {batch_norms} modules")
    return len(live)


def in_evaluation_mode(exported: onnx.ModelProto) -> onnx.ModelProto:
    """A copy with dropout switched off and batch norm on its running statistics."""
    copy = onnx.ModelProto()
    copy.CopyFrom(exported)
    for node in copy.graph.node:
        if node.op_type == "Dropout":
            del node.input[1:]
        for attribute in node.attribute:
            if node.op_type == "BatchNormalization" and attribute.name == "training_mode":
                attribute.i = 0
                del node.output[1:]
    return copy


def logits_of(model: torch.nn.Module, inputs: Inputs) -> torch.Tensor:
    """The first output, in evaluation mode."""
    training = model.training
    result = model.eval()(**inputs)
    model.train(training)
    return result[0] if isinstance(result, (tuple, list)) or hasattr(result, "to_tuple") else result


def check_outputs(file: str | bytes, model: torch.nn.Module, batches: list[Inputs], tolerance: float = 1e-4) -> float:
    """The exported graph computes PyTorch's output on each batch; returns the largest difference, relative to the
    largest logit: fresh weights give small ones."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # the copy in evaluation mode leaves constants of dropout unused
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    worst = 0.0
    for inputs in batches:
        with torch.no_grad():
            expected = logits_of(model, inputs).numpy()
        (actual,) = session.run(["logits"], {name: value.numpy() for name, value in inputs.items()})
        require(actual.shape == expected.shape, f"logits {actual.shape}; PyTorch gives {expected.shape}")
        worst = max(worst, float(np.abs(actual - expected).max() / np.abs(expected).max()))
    require(worst <= tolerance, f"logits differ from PyTorch's by {worst:.1e}; at most {tolerance:.0e} expected")
    return worst


# The whole job


def export_classifier(
    model: PreTrainedModel, out: Path, *, exporter: str = "torchscript", opset: int | None = None, mode: str = "eval"
) -> Path:
    """Exports, checks and writes `out`/model.onnx and `out`/config.json; prints a line on what was checked."""
    prepare_decoder(model)
    longest = longest_sequence(model)
    short = min(7, longest or 7)
    inputs = example_inputs(model, 2, short)
    axes = {name: {0: "batch", 1: "sequence"} for name in inputs}
    exported = export(
        model,
        inputs,
        exporter=exporter,
        opset=opset,
        mode=mode,
        axes=axes,
        longest={} if longest is None else {"sequence": longest},
    )
    check_names(exported, model)
    dropouts = check_training_mode(exported, model, inputs, mode)

    out.mkdir(parents=True, exist_ok=True)
    target = out / "model.onnx"
    with tempfile.TemporaryDirectory(dir=out) as folder:
        staged = save(exported, Path(folder) / "model.onnx")
        onnx.checker.check_model(str(staged))
        batches = [example_inputs(model, *sizes, seed=1) for sizes in ((1, 3), (3, min(11, longest or 11)))]
        check_file = save(in_evaluation_mode(exported), Path(folder) / "eval.onnx")
        worst = check_outputs(str(check_file), model, batches)
        for name in ("model.onnx.data", "model.onnx"):
            if (staged.parent / name).exists():
                os.replace(staged.parent / name, out / name)
            else:
                (out / name).unlink(missing_ok=True)
    model.config.architectures = [type(model).__name__]
    (out / "config.json").write_text(model.config.to_json_string(use_diff=True), encoding="utf8")
    opset_version = next(o.version for o in exported.opset_import if o.domain == "")
    print(
        f"{target}: {exporter}, opset {opset_version}, {mode} mode, {len(exported.graph.node)} nodes, "
        f"{sum(p.numel() for p in model.parameters()):,} parameters, {dropouts} dropouts, "
        f"logits within {worst:.1e} of PyTorch's"
    )
    return target


def export_network(
    model: torch.nn.Module, traced: Inputs, others: list[Inputs], axes: dict[str, dict[int, str]], out: Path
) -> None:
    """Exports `model` in training mode, traced on `traced`, and checks it on the batches `others`; prints a line on that."""
    exported = export(model, traced, mode="train", axes=axes)
    check_names(exported, model)
    check_training_mode(exported, model, traced, "train")
    worst = check_outputs(in_evaluation_mode(exported).SerializeToString(), model, others)
    onnx.save(exported, out)
    count = sum(p.numel() for p in model.parameters())
    print(f"{out}: {count:,} parameters, logits within {worst:.1e} of PyTorch's")


def save(model: onnx.ModelProto, file: Path) -> Path:
    """Writes the model; its weights go to `<file>.data` above 1.5 GB."""
    if sum(len(tensor.raw_data) for tensor in model.graph.initializer) > EXTERNAL_ABOVE:
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        onnx.save(copy, file, save_as_external_data=True, location=f"{file.name}.data", size_threshold=1024)
    else:
        onnx.save(model, file)
    return file


def load_tokenizer(source: str) -> Tokenizer:
    """The fast tokenizer of a pretrained model, without truncation or padding set."""
    tokenizer = AutoTokenizer.from_pretrained(source, use_fast=True)
    backend = getattr(tokenizer, "backend_tokenizer", None)
    require(backend is not None, f"{source}: no fast tokenizer, so no tokenizer.json can be written")
    backend.no_truncation()
    backend.no_padding()
    return backend


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Export a Hugging Face sequence classifier for training.")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--model", metavar="ID", help="model id, or a folder written by save_pretrained")
    source.add_argument("--config", type=Path, metavar="JSON", help="configuration file: random weights")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights that are drawn (default 0)")
    parser.add_argument("--labels", type=int, help="number of labels (default: the configuration's)")
    parser.add_argument("--tokenizer", metavar="ID", help="model id or folder of the tokenizer (default: --model)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument("--exporter", choices=["torchscript", "dynamo"], default="torchscript")
    parser.add_argument("--opset", type=int, help="opset (default 17 for torchscript, 18 for dynamo)")
    parser.add_argument("--mode", choices=["eval", "train"], default="eval", help="train keeps dropout active")
    return parser.parse_args()


def exit_code(work: Callable[[], object]) -> int:
    """0 where `work` came to its end; 1 where it failed, which standard error tells in one line."""
    try:
        work()
    except (ExportError, OSError, ValueError, RuntimeError) as error:
        print(f"error: {textwrap.shorten(str(error), 500)}", file=sys.stderr)
        return 1
    return 0


def export_from(options: argparse.Namespace) -> None:
    if options.config is not None:
        model = random_model(options.config, options.seed, options.labels)
    else:
        torch.manual_seed(options.seed)  # a classification head that the checkpoint lacks is drawn
        model = load_model(options.model, options.labels)
    source = options.tokenizer or options.model
    tokenizer = None if source is None else load_tokenizer(source)
    export_classifier(model, options.out, exporter=options.exporter, opset=options.opset, mode=options.mode)
    if tokenizer is not None:
        tokenizer.save(str(options.out / "tokenizer.json"))


if __name__ == "__main__":
    sys.exit(exit_code(lambda: export_from(arguments())))
