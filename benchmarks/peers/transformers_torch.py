"""The networks of `transformers` in PyTorch."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from benchmarks.peers.transformers import BLOCKS, HEADS, WIDTHS, WORDS


class Block(nn.Module):
    """Attention and two dense layers, each beside a way around it."""

    def __init__(self, width: int, heads: int, causal: bool) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.projections, self.output = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.inner = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Any) -> Any:
        batch, length, width = x.shape
        parts = self.projections(self.first(x)).view(batch, length, 3, self.heads, -1)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(query, key, value, is_causal=self.causal)
        x = x + self.output(mixed.transpose(1, 2).reshape(batch, length, width))
        return x + self.inner(self.second(x))


class Network(nn.Module):
    """One block, or a small GPT whose logits have the words on axis 1, as the loss wants them."""

    def __init__(self, name: str) -> None:
        super().__init__()
        width, self.is_gpt = WIDTHS[name], name == "gpt"
        self.embedding = nn.Embedding(WORDS, width) if self.is_gpt else nn.Identity()
        self.blocks = nn.Sequential(
            *(Block(width, HEADS[name], name != "block") for _ in range(BLOCKS[name]))
        )
        self.end = (
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, WORDS)) if self.is_gpt else nn.Identity()
        )

    def forward(self, x: torch.Tensor) -> Any:
        outputs = self.end(self.blocks(self.embedding(x)))
        return outputs.transpose(1, 2) if self.is_gpt else outputs
