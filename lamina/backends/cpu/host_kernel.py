"""The kernel of a `host` node: it calls back into Python (`host`) with a description of what to compute."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from lamina.backends.cpu.context import Slot
from lamina.backends.cpu.emit import Builder, Module, Register, index
from lamina.backends.cpu.lower import Kernel
from lamina.backends.cpu.views import Resolver
from lamina.ir.graph import Node, Value


def lower(
    module: Module, name: str, node: Node, resolve: Resolver, targets: Mapping[Value, Sequence[Value]]
) -> Kernel:
    """Emit the kernel of a host node: it calls back with (description, its length, addresses, flag)."""
    roots: dict[Value, None] = {}
    for operand in node.inputs:
        roots[resolve(operand).root] = None
    for output in node.outputs:
        roots.update(dict.fromkeys(targets.get(output, ())))
    parameters = [("ptr", f"b{position}") for position in range(len(roots))]
    b = Builder(module, name, [*parameters, ("ptr", "flag"), ("i64", "begin"), ("i64", "end")])
    pointers = dict(zip(roots, b.arguments))
    flag, begin, end = b.arguments[-3:]
    written = [targets.get(output, ()) for output in node.outputs]
    places = [pointers[resolve(operand).root] for operand in node.inputs]
    places += [pointers[memory] for memories in written for memory in memories]
    text = _description(node, [len(memories) for memories in written])
    constant = f"host_{hashlib.sha256(text).hexdigest()[:16]}"
    module.constant_array(constant, "i8", list(text))
    table = b.instruction(f"alloca [{len(places)} x ptr]", "ptr")
    with b.when(b.compare("icmp slt", begin, end)):
        for position, place in enumerate(places):
            b.emit(f"store ptr {place.text}, ptr {b.pointer(table, position, 'i64').text}")
        function: Register = b.instruction(
            f"load ptr, ptr {b.pointer(flag, index(Slot.HOST - Slot.FLAG), 'i64').text}", "ptr"
        )
        b.emit(
            f"call void {function.text}(ptr @{constant}, i64 {len(text)}, ptr {table.text}, ptr {flag.text})"
        )
    b.finish()
    return Kernel(name, tuple(roots), 1)


def _description(node: Node, copies: list[int]) -> bytes:
    """The call as JSON. copies: how many memories each output is written to."""

    def types(values: Sequence[Value]) -> list[Any]:
        return [[value.dtype, list(value.shape)] for value in values]

    described = {
        "function": node.attributes["function"],
        "options": node.attributes["options"],
        "inputs": types(node.inputs),
        "outputs": types(node.outputs),
        "copies": copies,
    }
    return json.dumps(described, separators=(",", ":")).encode()
