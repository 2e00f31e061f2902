"""Networks for graphs in plain PyTorch: nodes [nodes, features], directed edges [2, edges] from the first row to the second."""

from __future__ import annotations

import torch
from torch import nn


def gather_sum(values: torch.Tensor, edges: torch.Tensor, nodes: int) -> torch.Tensor:
    """Σ over the edges into each node of the values that they carry."""
    index = edges[1].unsqueeze(-1).expand_as(values)
    return values.new_zeros(nodes, values.shape[1]).scatter_add(0, index, values)


class GcnLayer(nn.Module):
    """Kipf & Welling 2017: D^-1/2 (A + I) D^-1/2 X W + b."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.lin = nn.Linear(inputs, outputs, bias=False)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
        ones = torch.ones_like(edges[1], dtype=x.dtype).unsqueeze(-1)
        root = (gather_sum(ones, edges, x.shape[0]) + 1).pow(-0.5)
        h = self.lin(x) * root
        return root * (gather_sum(h[edges[0]], edges, x.shape[0]) + h) + self.bias


class GinLayer(nn.Module):
    """Xu et al. 2019: MLP((1 + ε) x + Σ of the neighbours), ε learned, batch norm in the MLP."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.eps = nn.Parameter(torch.zeros(1))
        self.nn = nn.Sequential(
            nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU(), nn.Linear(outputs, outputs)
        )

    def forward(self, x: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
        return self.nn((1 + self.eps) * x + gather_sum(x[edges[0]], edges, x.shape[0]))


class SageLayer(nn.Module):
    """Hamilton et al. 2017: W₁ mean of the neighbours + W₂ x."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.lin_l = nn.Linear(inputs, outputs)
        self.lin_r = nn.Linear(inputs, outputs, bias=False)

    def forward(self, x: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
        ones = torch.ones_like(edges[1], dtype=x.dtype).unsqueeze(-1)
        count = gather_sum(ones, edges, x.shape[0]).clamp(min=1)
        return self.lin_l(gather_sum(x[edges[0]], edges, x.shape[0]) / count) + self.lin_r(x)


class NodeGcn(nn.Module):
    """Kipf & Welling 2017: two layers, dropout before each, a ReLU between them; logits of every node."""

    def __init__(self, features: int, width: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.conv1 = GcnLayer(features, width)
        self.conv2 = GcnLayer(width, classes)
        self.dropout1 = nn.Dropout(dropout)
        self.dropout2 = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor, edge_index: torch.Tensor) -> torch.Tensor:
        hidden = torch.relu(self.conv1(self.dropout1(x), edge_index))
        return self.conv2(self.dropout2(hidden), edge_index)


# The values of each feature of atoms and of bonds in the Open Graph Benchmark's molecules.
ATOMS = (119, 5, 12, 12, 10, 6, 6, 2, 2)
BONDS = (5, 6, 2)


class FeatureEncoder(nn.Module):
    """The sum of an embedding for each integer feature; x: [rows, features]."""

    def __init__(self, sizes: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.embeddings = nn.ModuleList([nn.Embedding(size, width) for size in sizes])
        for embedding in self.embeddings:
            nn.init.xavier_uniform_(embedding.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return sum(embedding(x[:, i]) for i, embedding in enumerate(self.embeddings))


class BondGinLayer(nn.Module):
    """GIN with bonds, as the Open Graph Benchmark has it: MLP((1 + ε) x + Σ of relu(neighbour + bond))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.eps = nn.Parameter(torch.zeros(1))
        self.bonds = FeatureEncoder(BONDS, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.BatchNorm1d(2 * width), nn.ReLU(), nn.Linear(2 * width, width)
        )

    def forward(self, x: torch.Tensor, edges: torch.Tensor, bonds: torch.Tensor) -> torch.Tensor:
        messages = torch.relu(x[edges[0]] + self.bonds(bonds))
        return self.mlp((1 + self.eps) * x + gather_sum(messages, edges, x.shape[0]))


class MoleculeGin(nn.Module):
    """GIN of the Open Graph Benchmark's molecules: encoders of atoms and bonds, batch norm and dropout after each layer, the mean over
    a molecule's atoms, one linear map to the tasks. Logits are [graphs, tasks]."""

    def __init__(self, width: int, layers: int, tasks: int, dropout: float) -> None:
        super().__init__()
        self.atoms = FeatureEncoder(ATOMS, width)
        self.convs = nn.ModuleList([BondGinLayer(width) for _ in range(layers)])
        self.norms = nn.ModuleList([nn.BatchNorm1d(width) for _ in range(layers)])
        self.dropouts = nn.ModuleList([nn.Dropout(dropout) for _ in range(layers)])
        self.head = nn.Linear(width, tasks)

    def forward(
        self,
        graph_sizes: torch.Tensor,
        x: torch.Tensor,
        edge_index: torch.Tensor,
        edge_attr: torch.Tensor,
        batch: torch.Tensor,
    ) -> torch.Tensor:
        hidden = self.atoms(x)
        for i, (conv, norm, dropout) in enumerate(zip(self.convs, self.norms, self.dropouts)):
            hidden = norm(conv(hidden, edge_index, edge_attr))
            hidden = dropout(hidden if i == len(self.convs) - 1 else torch.relu(hidden))
        index = batch.unsqueeze(-1).expand_as(hidden)
        total = hidden.new_zeros(graph_sizes.shape[0], hidden.shape[1]).scatter_add(0, index, hidden)
        return self.head(total / graph_sizes.unsqueeze(-1).to(hidden.dtype))
