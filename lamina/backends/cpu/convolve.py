"""Convolutions, as shape-specialised kernels straight on channels-last data; nothing is unfolded in memory.

    y[n, *i, o] = sum over taps t and channels c of x[n, *(i * strides + t * dilation - low), c] * w[*t, c, o]

    spec = ConvolveSpec.contiguous(128, (13, 13), 32, (3, 3), 64)
    plan = plan_outputs(spec, target)                        # tiles, bands, tasks, scratch, and why
    emit_convolve(module, plan, "conv_3", [("ptr", "bias"), ("ptr", "out")], epilogue)

emits one function

    void conv_3(ptr x, ptr w, ptr y, <the parameters given>, ptr scratch, i64 begin, i64 end)

that does the tasks begin .. end-1 of `plan.tasks`, like a matrix product (`contract`): the output is a matrix
with a row for each pixel and a column for each output channel, tiles of it are summed up in registers over
all taps and channels, and the epilogue gets them there. A tile is a box of pixels. Where taps leave the
image, the band of it that a task needs is first copied to scratch with its zeros.
"""

from __future__ import annotations

from collections.abc import Sequence

from lamina.backends.cpu import math
from lamina.backends.cpu.contract_place import Place
from lamina.backends.cpu.contract_sums import Epilogue
from lamina.backends.cpu.convolve_boxes import ConvolveSpec
from lamina.backends.cpu.convolve_depthwise import DepthwiseFilterPlan, DepthwiseOutputPlan
from lamina.backends.cpu.convolve_depthwise_kernels import DepthwiseFilterKernel, DepthwiseOutputKernel
from lamina.backends.cpu.convolve_filter import FilterKernel, FilterPlan, filter_parts, plan_direct_filter
from lamina.backends.cpu.convolve_outputs import OutputKernel, OutputPlan, plan_outputs
from lamina.backends.cpu.convolve_winograd import WinogradPlan, plan_winograd
from lamina.backends.cpu.convolve_winograd_filter import WinogradFilterPlan, plan_winograd_filter
from lamina.backends.cpu.convolve_winograd_filter_kernel import WinogradFilterKernel
from lamina.backends.cpu.convolve_winograd_kernel import WinogradKernel
from lamina.backends.cpu.emit import Builder, Module, Register
from lamina.backends.cpu.target import Target

__all__ = [
    "ConvolvePlan",
    "ConvolveSpec",
    "DepthwiseFilterPlan",
    "DepthwiseOutputPlan",
    "FilterPlan",
    "OutputPlan",
    "WinogradFilterPlan",
    "WinogradPlan",
    "emit_convolve",
    "filter_parts",
    "plan_direct_filter",
    "plan_filter",
    "plan_outputs",
    "plan_winograd",
]

ConvolvePlan = (
    OutputPlan | WinogradPlan | FilterPlan | WinogradFilterPlan | DepthwiseOutputPlan | DepthwiseFilterPlan
)


def plan_filter(spec: ConvolveSpec, target: Target, parts: int = 1) -> FilterPlan | WinogradFilterPlan:
    """Decide how to compute the gradient of w, as `parts` partial sums, which divide the batch."""
    direct = plan_direct_filter(spec, target, parts)
    return plan_winograd_filter(direct) or direct


def emit_convolve(
    module: Module,
    plan: ConvolvePlan,
    name: str,
    parameters: Sequence[tuple[str, str]] = (),
    epilogue: Epilogue | None = None,
) -> None:
    """Add the function `name` to the module; see the top of this page."""
    before, after = ("x", "w", "y"), [("ptr", "scratch"), ("i64", "begin"), ("i64", "end")]
    builder = Builder(module, name, [*(("ptr", tensor) for tensor in before), *parameters, *after])
    if plan.tasks:
        epilogue = epilogue or _store_sums(plan)
        if isinstance(plan, FilterPlan):
            FilterKernel(builder, plan, epilogue).emit()
        elif isinstance(plan, WinogradFilterPlan):
            WinogradFilterKernel(builder, plan, epilogue).emit()
        elif isinstance(plan, DepthwiseFilterPlan):
            DepthwiseFilterKernel(builder, plan, epilogue).emit()
        elif isinstance(plan, DepthwiseOutputPlan):
            DepthwiseOutputKernel(builder, plan, epilogue).emit()
        elif isinstance(plan, WinogradPlan):
            WinogradKernel(builder, plan, epilogue).emit()
        else:
            OutputKernel(builder, plan, epilogue).emit()
    builder.finish()


def _store_sums(plan: ConvolvePlan) -> Epilogue:
    def store(builder: Builder, value: Register, place: Place) -> None:
        if plan.sum_dtype != plan.spec.dtype:
            value = math.narrow(builder, value, plan.spec.dtype, plan.target)
        place.store(builder, value, builder.arguments[2], plan.result_strides)

    return store
