"""Residual networks with CIFAR heads, in plain PyTorch."""

from __future__ import annotations

import torch
from torch import nn


class BasicBlock(nn.Module):
    """He et al. 2016: two convolutions, each before its batch norm, and a projection where the shape changes."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != width:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(out)) + self.shortcut(x))


class ResNet(nn.Module):
    """Four stages of basic blocks behind a 3x3 convolution, as for CIFAR; ResNet-18 has width 64 and two blocks a stage."""

    def __init__(self, width: int, blocks: int, classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        layers: list[nn.Module] = []
        inputs = width
        for stage in range(4):
            for block in range(blocks):
                outputs = width * 2**stage
                layers.append(BasicBlock(inputs, outputs, 2 if stage > 0 and block == 0 else 1))
                inputs = outputs
        self.layers = nn.Sequential(*layers)
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.layers(torch.relu(self.bn1(self.conv1(x)))).mean((2, 3)))


class WideBlock(nn.Module):
    """Zagoruyko & Komodakis 2016: batch norm and ReLU before each convolution, dropout between the two."""

    def __init__(self, inputs: int, width: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.shortcut = None
        if stride != 1 or inputs != width:
            self.shortcut = nn.Conv2d(inputs, width, 1, stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        active = torch.relu(self.bn1(x))
        out = self.conv2(self.dropout(torch.relu(self.bn2(self.conv1(active)))))
        return out + (x if self.shortcut is None else self.shortcut(active))


class WideResNet(nn.Module):
    """WRN-d-k: three stages of (d - 4) / 6 blocks, of widths base·k, 2·base·k and 4·base·k; WRN-28-10 has base 16."""

    def __init__(self, depth: int, factor: int, base: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, base, 3, 1, 1, bias=False)
        layers: list[nn.Module] = []
        inputs = base
        for stage in range(3):
            for block in range((depth - 4) // 6):
                outputs = base * factor * 2**stage
                layers.append(WideBlock(inputs, outputs, 2 if stage > 0 and block == 0 else 1, dropout))
                inputs = outputs
        self.layers = nn.Sequential(*layers)
        self.bn = nn.BatchNorm2d(inputs)
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(torch.relu(self.bn(self.layers(self.conv(x)))).mean((2, 3)))
