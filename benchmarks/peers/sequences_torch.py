"""The networks of `sequences` in PyTorch."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from benchmarks.peers.sequences import UNITS, WORDS


class Network(nn.Module):
    """An embedding, a recurrent layer, and the logit of what its last step gave."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS, UNITS)
        kinds: dict[str, tuple[Any, int]] = {
            "lstm": (nn.LSTM, UNITS),
            "gru": (nn.GRU, UNITS),
            "simple": (nn.RNN, UNITS),
            "bidirectional": (nn.LSTM, UNITS // 2),
        }
        kind, units = kinds[name]
        both = name == "bidirectional"
        self.recurrent = kind(UNITS, units, batch_first=True, bidirectional=both)
        self.dense = nn.Linear(UNITS, 1)
        self.units = units if both else None

    def forward(self, tokens: Any) -> Any:
        outputs, _ = self.recurrent(self.embedding(tokens))
        last = outputs[:, -1]
        if self.units is not None:  # the way back ends at the first token
            last = torch.cat([last[:, : self.units], outputs[:, 0, self.units :]], 1)
        return self.dense(last)
