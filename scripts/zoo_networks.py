"""Small configurations of networks for images, graphs, sound and sequences, each with a batch that it takes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torchvision.models import MobileNetV3, SwinTransformer
from torchvision.models.convnext import CNBlockConfig, ConvNeXt
from torchvision.models.efficientnet import EfficientNet, MBConvConfig
from torchvision.models.mobilenetv3 import InvertedResidualConfig
from transformers import T5Config, T5EncoderModel, ViTConfig, ViTForImageClassification, WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from graph_networks import GcnLayer, GinLayer, SageLayer
from residual_networks import ResNet, WideResNet

Tensors = dict[str, torch.Tensor]
Axes = dict[str, dict[int, str]]
CLASSES = 3


class Network(nn.Module):
    """A classifier that knows the shapes of its inputs; `forward` takes them by name."""

    axes: Axes

    def example(self, draw: torch.Generator, rows: int, length: int) -> tuple[Tensors, torch.Tensor]:
        """Random inputs and labels: `rows` examples; `length` is that of sequences."""
        raise NotImplementedError


class Images(Network):
    """Wraps a module from images [batch, 3, size, size] to logits."""

    axes = {"x": {0: "batch"}}

    def __init__(self, body: nn.Module, size: int) -> None:
        super().__init__()
        self.body = body
        self.size = size

    def example(self, draw: torch.Generator, rows: int, length: int) -> tuple[Tensors, torch.Tensor]:
        x = torch.randn(rows, 3, self.size, self.size, generator=draw)
        return {"x": x}, torch.randint(0, CLASSES, self.label_shape(rows), generator=draw)

    def label_shape(self, rows: int) -> tuple[int, ...]:
        return (rows,)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)


class UNet(nn.Module):
    """Ronneberger et al. 2015, with batch norm: two levels down by max-pooling, up by transposed convolutions."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.down1 = self.pair(3, width)
        self.down2 = self.pair(width, 2 * width)
        self.bottom = self.pair(2 * width, 4 * width)
        self.up2 = nn.ConvTranspose2d(4 * width, 2 * width, 2, 2)
        self.merge2 = self.pair(4 * width, 2 * width)
        self.up1 = nn.ConvTranspose2d(2 * width, width, 2, 2)
        self.merge1 = self.pair(2 * width, width)
        self.head = nn.Conv2d(width, classes, 1)
        self.pool = nn.MaxPool2d(2)

    @staticmethod
    def pair(inputs: int, width: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(inputs, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits of every pixel, classes last: [batch, height, width, classes]."""
        first = self.down1(x)
        second = self.down2(self.pool(first))
        bottom = self.bottom(self.pool(second))
        second = self.merge2(torch.cat([self.up2(bottom), second], 1))
        first = self.merge1(torch.cat([self.up1(second), first], 1))
        return self.head(first).permute(0, 2, 3, 1)


class Segmentation(Images):
    """Labels are those of every pixel."""

    def label_shape(self, rows: int) -> tuple[int, ...]:
        return (rows, self.size, self.size)


def vit() -> Network:
    config = ViTConfig(
        image_size=16,
        patch_size=8,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        hidden_dropout_prob=0.1,
        attention_probs_dropout_prob=0.1,
        num_labels=CLASSES,
    )
    return HfImages(ViTForImageClassification._from_config(config, attn_implementation="eager"), 16)


class HfImages(Images):
    """A Hugging Face image classifier."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(pixel_values=x).logits


def mobilenet_v3() -> Network:
    """Depthwise convolutions, squeeze-and-excitation, hard swish, dropout before the head."""

    def block(inputs: int, kernel: int, expanded: int, outputs: int, se: bool, activation: str, stride: int):
        return InvertedResidualConfig(inputs, kernel, expanded, outputs, se, activation, stride, 1, 1.0)

    setting = [
        block(8, 3, 8, 8, True, "RE", 2),
        block(8, 5, 16, 8, True, "HS", 1),
        block(8, 3, 16, 16, False, "HS", 2),
    ]
    return Images(MobileNetV3(setting, 16, num_classes=CLASSES), 16)


def convnext() -> Network:
    """Depthwise 7x7 convolutions, layer norm over channels, layer scale."""
    setting = [CNBlockConfig(8, 16, 1), CNBlockConfig(16, None, 1)]
    return Images(ConvNeXt(setting, stochastic_depth_prob=0.0, num_classes=CLASSES), 32)


def efficientnet() -> Network:
    """Inverted bottlenecks with squeeze-and-excitation and SiLU, dropout before the head."""
    setting = [MBConvConfig(1, 3, 1, 8, 8, 1, 1.0, 1.0), MBConvConfig(4, 5, 2, 8, 8, 2, 1.0, 1.0)]
    return Images(
        EfficientNet(setting, dropout=0.2, stochastic_depth_prob=0.0, num_classes=CLASSES, last_channel=16), 16
    )


def swin() -> Network:
    """Attention within windows, shifted in every other block, with relative position biases; patch merging."""
    body = SwinTransformer(
        patch_size=[2, 2],
        embed_dim=8,
        depths=[2, 1],
        num_heads=[2, 2],
        window_size=[2, 2],
        mlp_ratio=2.0,
        dropout=0.1,
        attention_dropout=0.1,
        stochastic_depth_prob=0.0,
        num_classes=CLASSES,
    )
    return Images(body, 16)


class GraphNetwork(Network):
    """Two layers with a ReLU and dropout between them: a class for every node."""

    axes = {"x": {0: "nodes"}, "edge_index": {1: "edges"}}
    features = 6

    def __init__(self, layer: Callable[[int, int], nn.Module]) -> None:
        super().__init__()
        self.conv1 = layer(self.features, 8)
        self.conv2 = layer(8, CLASSES)
        self.dropout = nn.Dropout(0.5)

    def example(self, draw: torch.Generator, rows: int, length: int) -> tuple[Tensors, torch.Tensor]:
        nodes, edges = 4 * rows, 3 * length
        inputs = {
            "x": torch.randn(nodes, self.features, generator=draw),
            "edge_index": torch.randint(0, nodes, (2, edges), generator=draw),
        }
        return inputs, torch.randint(0, CLASSES, (nodes,), generator=draw)

    def forward(self, x: torch.Tensor, edge_index: torch.Tensor) -> torch.Tensor:
        hidden = self.dropout(torch.relu(self.conv1(x, edge_index)))
        return self.conv2(hidden, edge_index)


# Sequences and sound


class Sequences(Network):
    """Token ids [batch, sequence] to logits."""

    axes = {"input_ids": {0: "batch", 1: "sequence"}}
    vocabulary = 40

    def example(self, draw: torch.Generator, rows: int, length: int) -> tuple[Tensors, torch.Tensor]:
        ids = torch.randint(1, self.vocabulary, (rows, length), generator=draw)
        return {"input_ids": ids}, torch.randint(0, CLASSES, (rows,), generator=draw)


class LstmClassifier(Sequences):
    """A bidirectional LSTM over embeddings; the mean of its outputs is classified."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(self.vocabulary, 8)
        self.lstm = nn.LSTM(8, 6, bidirectional=True, batch_first=True)
        self.dropout = nn.Dropout(0.2)
        self.fc = nn.Linear(12, CLASSES)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        hidden, _ = self.lstm(self.embedding(input_ids))
        return self.fc(self.dropout(hidden.mean(1)))


class T5Classifier(Sequences):
    """T5's encoder (relative position buckets, RMS norms, no biases), its mean classified."""

    def __init__(self) -> None:
        super().__init__()
        config = T5Config(
            vocab_size=self.vocabulary,
            d_model=16,
            d_kv=8,
            d_ff=32,
            num_layers=2,
            num_heads=2,
            relative_attention_num_buckets=8,
            dropout_rate=0.1,
        )
        # The model around it holds the embeddings under a second name.
        self.encoder = T5EncoderModel._from_config(config, attn_implementation="eager").encoder
        self.fc = nn.Linear(16, CLASSES)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        return self.fc(self.encoder(input_ids=input_ids, return_dict=False)[0].mean(1))


class WhisperClassifier(Network):
    """Whisper's encoder: two convolutions over mel spectra [batch, 8, 24], fixed positions; its mean classified."""

    axes = {"input_features": {0: "batch"}}

    def __init__(self) -> None:
        super().__init__()
        config = WhisperConfig(
            num_mel_bins=8,
            max_source_positions=12,
            d_model=16,
            encoder_layers=2,
            encoder_attention_heads=2,
            encoder_ffn_dim=32,
            dropout=0.1,
            attention_dropout=0.1,
        )
        config._attn_implementation = "eager"
        self.encoder = WhisperEncoder(config)
        self.fc = nn.Linear(16, CLASSES)

    def example(self, draw: torch.Generator, rows: int, length: int) -> tuple[Tensors, torch.Tensor]:
        features = torch.randn(rows, 8, 24, generator=draw)
        return {"input_features": features}, torch.randint(0, CLASSES, (rows,), generator=draw)

    def forward(self, input_features: torch.Tensor) -> torch.Tensor:
        return self.fc(self.encoder(input_features, return_dict=False)[0].mean(1))


NETWORKS: dict[str, Callable[[], Network]] = {
    "resnet": lambda: Images(ResNet(2, 1, CLASSES), 16),
    "wide-resnet": lambda: Images(WideResNet(10, 2, 2, CLASSES, 0.3), 8),
    "vit": vit,
    "mobilenet-v3": mobilenet_v3,
    "convnext": convnext,
    "efficientnet": efficientnet,
    "unet": lambda: Segmentation(UNet(3, CLASSES), 8),
    "swin": swin,
    "gcn": lambda: GraphNetwork(GcnLayer),
    "gin": lambda: GraphNetwork(GinLayer),
    "graphsage": lambda: GraphNetwork(SageLayer),
    "lstm": LstmClassifier,
    "t5-encoder": T5Classifier,
    "whisper-encoder": WhisperClassifier,
}
