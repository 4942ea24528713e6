"""What Python's operators on tensors do."""

from __future__ import annotations

from lamina.ir.trace import OPERATORS
from lamina.ops import arithmetic, contract, convert, index, logic, math, move

OPERATORS.update(
    add=arithmetic.add,
    subtract=arithmetic.subtract,
    multiply=arithmetic.multiply,
    true_divide=arithmetic.divide,
    floor_divide=arithmetic.floor_divide,
    mod=arithmetic.mod,
    power=arithmetic.power,
    matmul=contract.matmul,
    bitwise_and=logic.bitwise_and,
    bitwise_or=logic.bitwise_or,
    bitwise_xor=logic.bitwise_xor,
    left_shift=logic.bitwise_left_shift,
    right_shift=logic.bitwise_right_shift,
    equal=logic.equal,
    not_equal=logic.not_equal,
    less=logic.less,
    less_equal=logic.less_equal,
    greater=logic.greater,
    greater_equal=logic.greater_equal,
    negative=math.negative,
    absolute=math.absolute,
    bitwise_not=logic.bitwise_not,
    identity_of=convert.convert_to_tensor,
    getitem=index.getitem,
    cast=convert.cast,
    reshape=move.reshape,
    squeeze=move.squeeze,
    transpose=move.transpose,
)
