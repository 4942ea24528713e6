"""Common divisors and multiples of whole numbers."""

from __future__ import annotations

from typing import Any

from lamina.core import dtypes
from lamina.core.errors import DTypeError
from lamina.ops.arithmetic import floor_divide, mod
from lamina.ops.control import while_loop
from lamina.ops.convert import cast, convert_to_tensor
from lamina.ops.logic import equal, where
from lamina.ops.math import absolute
from lamina.ops.move import broadcast_to
from lamina.ops.reduce import any as any_
from lamina.ops.registry import op


@op
def gcd(x1: Any, x2: Any) -> Any:
    """The greatest common divisor of whole numbers; gcd(0, 0) is 0."""
    x1, x2 = convert_to_tensor(x1), convert_to_tensor(x2)
    dtype = dtypes.result_type(x1.dtype, x2.dtype)
    if not dtypes.is_integer(dtype):
        raise DTypeError("gcd and lcm are for whole numbers.", got=dtype)
    shape = (x1 + x2).shape
    pair = tuple(absolute(cast(broadcast_to(x, shape), dtype)) for x in (x1, x2))

    def rest(larger: Any, smaller: Any) -> tuple[Any, Any]:
        done = equal(smaller, 0)
        return where(done, larger, smaller), where(done, 0, mod(larger, where(done, 1, smaller)))

    return while_loop(lambda larger, smaller: any_(smaller != 0), rest, pair)[0]


@op
def lcm(x1: Any, x2: Any) -> Any:
    """The least common multiple of whole numbers; 0 where one of them is 0."""
    divisor = gcd(x1, x2)
    first = cast(absolute(convert_to_tensor(x1)), divisor.dtype)
    second = cast(absolute(convert_to_tensor(x2)), divisor.dtype)
    return floor_divide(first, where(equal(divisor, 0), 1, divisor)) * second
