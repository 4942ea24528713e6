"""What is decided about attention before it is emitted: blocks of queries and keys, tiles, scratch, tasks.

Queries go by blocks of a few vectors, with a query in each lane; keys go by blocks of which the scores of a
block of queries stay in the first cache. No more of the matrix of scores ever exists in one place.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import ceil

from lamina.backends.cpu.contract_plan import (
    Panels,
    Piece,
    pieces_of,
    registers_needed,
    round_up,
    split_columns,
)
from lamina.backends.cpu.target import Target
from lamina.core import dtypes
from lamina.ir import primitives as p
from lamina.ir.attention_rules import mask_and_bits
from lamina.ir.graph import Node, Value
from lamina.ir.primitives import Primitive

ATTENTION: frozenset[Primitive] = frozenset({p.attention, p.attention_grad})


def has_kernel(node: Node) -> bool:
    """Whether the kernels can do this node; otherwise it is decomposed."""
    query, _, value = node.inputs[:3]
    return query.dtype in ("float32", "float64") and 0 not in (*query.shape, *value.shape)


@dataclass(frozen=True)
class AttentionPlan:
    """The decisions for one node; they follow from shapes and the target alone."""

    node: Node
    target: Target

    # -- shapes --------------------------------------------------------------------------------

    @property
    def is_gradient(self) -> bool:
        return self.node.primitive is p.attention_grad

    @property
    def dtype(self) -> str:
        return self.node.inputs[0].dtype

    @cached_property
    def lanes(self) -> int:
        return self.target.lanes(self.dtype)

    @property
    def batch(self) -> int:
        return self.node.inputs[0].shape[0]

    @property
    def queries(self) -> int:
        return self.node.inputs[0].shape[1]

    @property
    def heads(self) -> int:
        return self.node.inputs[0].shape[2]

    @property
    def depth(self) -> int:
        return self.node.inputs[0].shape[3]

    @property
    def keys(self) -> int:
        return self.node.inputs[1].shape[1]

    @property
    def groups(self) -> int:
        return self.node.inputs[1].shape[2]

    @property
    def width(self) -> int:
        """Features of a value."""
        return self.node.inputs[2].shape[3]

    @property
    def repeats(self) -> int:
        """Heads of queries to each head of keys."""
        return self.heads // self.groups

    @property
    def causal(self) -> bool:
        return bool(self.node.attributes["causal"])

    @property
    def others(self) -> tuple[Value, ...]:
        """The operands that need not be there."""
        return self.node.inputs[7 if self.is_gradient else 3 :]

    @property
    def mask(self) -> Value | None:
        mask: Value | None = mask_and_bits(self.others)[0]
        return mask

    @property
    def bits(self) -> Value | None:
        """The key of the random bits by which weights are dropped."""
        bits: Value | None = mask_and_bits(self.others)[1]
        return bits

    @property
    def skips(self) -> bool:
        """Whether keys after all queries of a block are left out.

        Not with a mask: a query that may look at nothing looks at all keys alike.
        """
        return self.causal and self.mask is None

    # -- blocks and tiles ----------------------------------------------------------------------

    @cached_property
    def vectors(self) -> int:
        """Vectors of queries in a block."""
        most = 4 if self.target.vector_bytes == 16 and self.target.registers >= 32 else 2
        return min(most, ceil(self.queries / self.lanes))

    @property
    def block(self) -> int:
        """Queries in a block."""
        return self.vectors * self.lanes

    @property
    def blocks(self) -> int:
        return ceil(self.queries / self.block)

    @cached_property
    def scored(self) -> Panels:
        """A row of scores: the queries of a block, for one key."""
        pieces = tuple(Piece(number * self.lanes, self.lanes, self.lanes) for number in range(self.vectors))
        return Panels(0, pieces, 1, 0)

    @cached_property
    def rows(self) -> int:
        """Keys in a tile of scores: as many as registers hold, or a few less if that leaves no rest."""
        most = min(self._most_rows(self.vectors), self.keys)
        fitting = [rows for rows in range(most // 2 + 1, most + 1) if self.keys % rows == 0]
        return max(fitting, default=most)

    def _most_rows(self, vectors: int) -> int:
        limit = self.target.registers - 1
        return max(
            (rows for rows in range(1, limit) if registers_needed(rows, vectors, self.target) <= limit),
            default=1,
        )

    @property
    def tiles(self) -> int:
        """Whole tiles of keys."""
        return self.keys // self.rows

    @property
    def rest(self) -> int:
        """Keys after the last whole tile."""
        return self.keys % self.rows

    @cached_property
    def tiles_in_block(self) -> int:
        """Tiles of keys in a block: their scores fill a part of the first cache."""
        shares = 2 if self.is_gradient else 1
        row = shares * self.block * dtypes.itemsize(self.dtype)
        return max(1, min(self.tiles, self.target.caches.l1 * 2 // 3 // (row * self.rows)))

    @property
    def keys_in_block(self) -> int:
        return self.tiles_in_block * self.rows + self.rest

    def features(self, size: int, rows: int) -> tuple[Panels, ...]:
        """The features of a query, key or value, in panels that `rows` rows of sums leave room for."""
        limit = self.target.registers - 1
        vectors = max(
            (count for count in range(1, 5) if registers_needed(rows, count, self.target) <= limit),
            default=1,
        )
        return split_columns(size, vectors, self.target, self.dtype)

    def pieces(self, size: int) -> list[Piece]:
        return pieces_of(size, self.lanes, self.target.has_masks)

    def mixed_rows(self, size: int) -> int:
        """Queries in a tile of sums over keys: a power of two, with all features if there are few."""
        vectors = min(4, ceil(size / self.lanes))
        most = min(self._most_rows(vectors), self.block)
        return 1 << (most.bit_length() - 1)

    # -- scratch -------------------------------------------------------------------------------

    def padded(self, size: int) -> int:
        return round_up(size, self.lanes)

    @cached_property
    def offsets(self) -> dict[str, int]:
        """Where the parts of the scratch memory start, in elements; "end" is its size."""
        sizes = {
            "queries": self.depth * self.block,
            "scores": self.keys_in_block * self.block,
            "mixed": self.block * self.padded(self.depth if self.is_gradient else self.width),
            "highest": self.block,
            "total": self.block,
            "factor": self.block,
        }
        if self.is_gradient:
            sizes |= {
                "cotangents": self.width * self.block,
                "results": self.width * self.block,
                "of_scores": self.keys_in_block * self.block,
            }
        found, start = {}, 0
        for name, size in sizes.items():
            found[name] = start
            start += round_up(size, 16)
        return found | {"end": start}

    @property
    def scratch_bytes(self) -> int:
        return self.offsets["end"] * dtypes.itemsize(self.dtype)

    # -- tasks and cost ------------------------------------------------------------------------

    @property
    def tasks(self) -> int:
        """Blocks of queries; for the gradient heads of keys, whose sums over queries are theirs alone."""
        if self.is_gradient:
            return self.batch * self.groups
        return self.batch * self.heads * self.blocks

    @property
    def flops(self) -> int:
        pairs = self.batch * self.heads * self.queries * self.keys // (2 if self.skips else 1)
        products = 3 * self.depth + 2 * self.width if self.is_gradient else self.depth + self.width
        return pairs * (2 * products + (20 if self.bits is None else 60))
