"""Kernels of attention that never keep the matrix of scores, and of its gradient.

Forward, a task is a block of queries of one head. It goes through the keys block by block: scores, their
running maximum, exponentials below it, and sums of values weighted with them; when the maximum grows, what
has been summed up is scaled down. Backward, the exponentials are computed again from the kept maximum and
sum; a task is a head of keys and values, which all queries add to.

Source: T. Dao, D. Fu, S. Ermon, A. Rudra, C. Ré, "FlashAttention: Fast and Memory-Efficient Exact Attention
with IO-Awareness" (2022).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from lamina.backends.cpu.attention_kernel import AttentionKernel, Block, KeyBlock, Matrix
from lamina.backends.cpu.attention_plan import AttentionPlan
from lamina.backends.cpu.contract_sums import valid_mask
from lamina.backends.cpu.emit import Builder, Module, Register, vector
from lamina.backends.cpu.lower import Kernel
from lamina.backends.cpu.math_vector import Vector, fma
from lamina.backends.cpu.target import Target
from lamina.backends.cpu.views import Resolver
from lamina.ir.attention_rules import hidden
from lamina.ir.graph import Node, Value


def lower(
    module: Module,
    name: str,
    node: Node,
    resolve: Resolver,
    targets: Mapping[Value, Sequence[Value]],
    target: Target,
) -> Kernel:
    """Emit the kernel of an attention or attention_grad node."""
    plan = AttentionPlan(node, target)
    roots: dict[Value, None] = {resolve(operand).root: None for operand in node.inputs}
    for output in node.outputs:
        roots.update(dict.fromkeys(targets.get(output, ())))
    parameters = [("ptr", f"b{position}") for position in range(len(roots))]
    tail = [("ptr", "flag"), ("ptr", "scratch"), ("i64", "begin"), ("i64", "end")]
    builder = Builder(module, name, [*parameters, *tail])
    kind = _Backward if plan.is_gradient else _Forward
    kind(builder, plan, resolve, dict(zip(roots, builder.arguments)), targets).emit()
    builder.finish()
    return Kernel(name, tuple(roots), plan.tasks, scratch=True)


class _Forward(AttentionKernel):
    def emit(self) -> None:
        b, plan = self.b, self.plan
        query, key, value = plan.node.inputs[:3]
        with b.loop(self.begin, self.end) as task:
            row, number = self.divide(task.index, plan.blocks)
            batch, head = self.divide(row, plan.heads)
            group, _ = self.divide(head, plan.repeats)
            block = self.block_at(batch, head, number)
            self.transpose(
                self.rows_of(query, batch, block.first, head), plan.depth, block, self.part("queries")
            )
            self.clear(self.part("mixed"), plan.block * plan.padded(plan.width))
            self.keep(self.full(float(np.finfo(plan.dtype).min)), self.part("highest"))
            self.keep(self.full(0.0), self.part("total"))
            keys, values = self.rows_of(key, batch, 0, group), self.rows_of(value, batch, 0, group)
            with self.blocks_of_keys(block) as some:
                self._score(some, keys, block)
                self.mix(some, self.part("scores"), values, plan.width, factors=True)
            self._finish(block)

    def _score(self, some: KeyBlock, keys: Matrix, block: Block) -> None:
        """The weights of a block of keys, not yet divided by their sum; what was summed up so far is to be
        multiplied with the factors.
        """
        b, plan = self.b, self.plan
        scores, scale = self.part("scores"), plan.node.attributes["scale"]
        before = self.vectors(self.part("highest"))
        self.keep(before, self.part("factor"))

        def tile(rows: int, first: Register) -> None:
            key = b.add(some.first, first)
            found = self.scores(Matrix(self.row(keys, key), keys.step), key, rows, block, scale)
            here = self.at(scores, b.multiply(first, plan.block))
            highest = self.vectors(self.part("highest"))
            for number, score in enumerate(found):
                b.store(score.register, self.at(here, number * plan.lanes))
                highest[number % plan.vectors] = score.at_least(highest[number % plan.vectors])
            self.keep(highest, self.part("highest"))

        self.each_tile(some, tile)
        highest = self.vectors(self.part("highest"))
        factors = [self.power(old - new) for old, new in zip(self.vectors(self.part("factor")), highest)]
        self.keep(factors, self.part("factor"))
        total = [fma(old, factor, 0.0) for old, factor in zip(self.vectors(self.part("total")), factors)]
        with b.loop(0, some.count, 1, [value.register for value in total]) as key:
            here = self.at(scores, b.multiply(key.index, plan.block))
            powers = [self.power(score - most) for score, most in zip(self.vectors(here), highest)]
            self.keep(self.kept(powers, b.add(some.first, key.index), block), here)
            key.next = [b.op("fadd", sum_, power.register) for sum_, power in zip(key.carried, powers)]
        self.keep([Vector(b, plan.target, sum_) for sum_ in key.results], self.part("total"))

    def _finish(self, block: Block) -> None:
        b, plan = self.b, self.plan
        total = self.vectors(self.part("total"))
        self.keep([1.0 / sum_ for sum_ in total], self.part("factor"))
        out = self.rows_written(0, block.batch, block.first, block.head)
        if out is not None:
            self.write_mixed(block, plan.width, out, self.part("factor"))
        # Comparisons skip what is not a number; the sum has it, and so must the maximum.
        highest = [
            sum_.is_nan().where(sum_, most) for sum_, most in zip(total, self.vectors(self.part("highest")))
        ]
        for values, output in ((highest, plan.node.outputs[1]), (total, plan.node.outputs[2])):
            there = self.numbers(output, block)
            if there is None:
                continue
            for number, value in enumerate(values):
                place = self.at(there, number * plan.lanes)
                b.store(value.register, place, self.lanes_of(number, block))


class _Backward(AttentionKernel):
    def emit(self) -> None:
        b, plan = self.b, self.plan
        with b.loop(self.begin, self.end) as task:
            batch, group = self.divide(task.index, plan.groups)
            of_key, of_value = (self.rows_written(output, batch, 0, group) for output in (1, 2))
            for matrix, size in ((of_key, plan.depth), (of_value, plan.width)):
                if matrix is not None:
                    self._clear_rows(matrix, size)
            with b.loop(0, plan.repeats) as repeat:
                head = b.add(b.multiply(group, plan.repeats), repeat.index)
                with b.loop(0, plan.blocks) as number:
                    self._block(self.block_at(batch, head, number.index), group, of_key, of_value)

    def _clear_rows(self, matrix: Matrix, size: int) -> None:
        with self.b.loop(0, self.plan.keys) as key:
            here = self.row(matrix, key.index)
            for piece in self.plan.pieces(size):
                zero = Register(
                    "zeroinitializer" if piece.lanes > 1 else "0.0", vector(self.element, piece.lanes)
                )
                self.b.store(zero, self.at(here, piece.offset), valid_mask(piece.lanes, piece.valid))

    def _block(self, block: Block, group: Register, of_key: Matrix | None, of_value: Matrix | None) -> None:
        plan = self.plan
        query, key, value, result, highest, total, cotangent = plan.node.inputs[:7]
        batch, head, first = block.batch, block.head, block.first
        queries = self.rows_of(query, batch, first, head)
        cotangents = self.rows_of(cotangent, batch, first, head)
        self.transpose(queries, plan.depth, block, self.part("queries"))
        self.transpose(cotangents, plan.width, block, self.part("cotangents"))
        self.transpose(self.rows_of(result, batch, first, head), plan.width, block, self.part("results"))
        self._row_numbers(block, highest, total)
        self.clear(self.part("mixed"), plan.block * plan.padded(plan.depth))
        keys, values = self.rows_of(key, batch, 0, group), self.rows_of(value, batch, 0, group)
        with self.blocks_of_keys(block) as some:
            self._weights(some, keys, values, block)
            if of_value is not None:
                self._add_to_keys(some, self.part("scores"), cotangents, plan.width, of_value, block)
            if of_key is not None:
                self._add_to_keys(some, self.part("of_scores"), queries, plan.depth, of_key, block)
            self.mix(some, self.part("of_scores"), keys, plan.depth, factors=False)
        out = self.rows_written(0, batch, first, head)
        if out is not None:
            self.write_mixed(block, plan.depth, out, None)

    def _row_numbers(self, block: Block, highest: Value, total: Value) -> None:
        """Of each query: the highest score, one over the sum, and the mean of the weights' cotangents."""
        b, plan = self.b, self.plan
        kind = vector(self.element, plan.lanes)
        found = []
        for value in (highest, total):
            here = self.numbers(value, block)
            assert here is not None
            found.append(
                [
                    Vector(
                        b,
                        plan.target,
                        b.load(kind, self.at(here, number * plan.lanes), self.lanes_of(number, block)),
                    )
                    for number in range(plan.vectors)
                ]
            )
        self.keep(found[0], self.part("highest"))
        self.keep([1.0 / sum_ for sum_ in found[1]], self.part("total"))
        start = [value.register for value in self.full(0.0)]
        with b.loop(0, plan.width, 1, start) as feature:
            place = b.multiply(feature.index, plan.block)
            pairs = [self.vectors(self.at(self.part(name), place)) for name in ("cotangents", "results")]
            feature.next = [
                fma(one, other, Vector(b, plan.target, sum_)).register
                for one, other, sum_ in zip(*pairs, feature.carried)
            ]
        self.keep([Vector(b, plan.target, sum_) for sum_ in feature.results], self.part("factor"))

    def _weights(self, some: KeyBlock, keys: Matrix, values: Matrix, block: Block) -> None:
        """The weights of a block of keys, and the cotangents of their scores."""
        b, plan = self.b, self.plan
        scale = plan.node.attributes["scale"]

        def tile(rows: int, first: Register) -> None:
            key = b.add(some.first, first)
            place = b.multiply(first, plan.block)
            found = self.scores(Matrix(self.row(keys, key), keys.step), key, rows, block, scale)
            self._store(found, self.at(self.part("scores"), place))
            rows_of_values = Matrix(self.row(values, key), values.step)
            found = self.products(rows_of_values, plan.width, self.part("cotangents"), rows)
            self._store(found, self.at(self.part("of_scores"), place))

        self.each_tile(some, tile)
        highest, factor = self.vectors(self.part("highest")), self.vectors(self.part("total"))
        mean = self.vectors(self.part("factor"))
        with b.loop(0, some.count) as key:
            place = b.multiply(key.index, plan.block)
            here, there = (self.at(self.part(name), place) for name in ("scores", "of_scores"))
            scores, sent = self.vectors(here), self.vectors(there)
            weights = [self.power(score - most) * one for score, most, one in zip(scores, highest, factor)]
            at = b.add(some.first, key.index)
            self.keep(self.kept(weights, at, block), here)
            sent = self.kept(sent, at, block)
            found = [weight * (x - middle) * scale for weight, x, middle in zip(weights, sent, mean)]
            if plan.mask is not None or plan.causal:
                found = [(s <= hidden(plan.dtype)).where(0.0, x) for s, x in zip(scores, found)]
            self.keep(found, there)

    def _store(self, found: Sequence[Vector], here: Register) -> None:
        for number, value in enumerate(found):
            self.b.store(value.register, self.at(here, number * self.plan.lanes))

    def _add_to_keys(
        self, some: KeyBlock, weights: Register, rows: Matrix, size: int, sums: Matrix, block: Block
    ) -> None:
        """sums += weights @ rows: to each key of a block what the block's queries send it."""
        b, plan = self.b, self.plan

        def tile(count: int, first: Register) -> None:
            here = self.at(weights, b.multiply(first, plan.block))
            there = Matrix(self.row(sums, b.add(some.first, first)), sums.step)
            self.add_products((here, plan.block, 1), count, block.count, rows, size, there)

        self.each_tile(some, tile)
