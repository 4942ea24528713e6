"""Layer: the contract of Keras 3. Layers are called on arrays, on traced tensors, and on KerasTensors."""

from __future__ import annotations

import functools
import threading
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lamina import dtype_policies, ops, regularizers
from lamina.core import tree
from lamina.core.errors import ArgumentError, DTypeError, StateError, nearest
from lamina.core.naming import current_path, name_scope
from lamina.core.scopes import contained
from lamina.ir.symbolic import KerasTensor, is_symbolic
from lamina.ir.trace import Tensor
from lamina.layers import call_context, infer, input_spec, losses, shapes, stateless
from lamina.layers.call_arguments import CallArguments, convert, is_tensor, shapes_for, signature_of
from lamina.layers.masks import get_mask, with_mask
from lamina.layers.node import Node
from lamina.layers.operation import Operation, default, is_default
from lamina.layers.settings import LayerSettings
from lamina.layers.state import LayerState
from lamina.variables import autocast

_building = threading.RLock()


class UnbuiltError(StateError, AttributeError):
    """An attribute that appears when the layer is built was asked for too early."""


def _prepared(build: Callable[..., Any]) -> Callable[..., Any]:
    """`build` inside the layer's name scope; afterwards the layer is built, and the shapes are remembered."""

    @functools.wraps(build)
    def prepared(self: Any, *args: Any, **kwargs: Any) -> None:
        self._check_initialized()
        if self._is_building:  # super().build(input_shape)
            build(self, *args, **kwargs)
            return
        self._is_building = True
        try:
            with contained(), self._name_scope():
                self._path = current_path()
                build(self, *args, **kwargs)
        finally:
            self._is_building = False
        given = signature_of(build).bind(*args, **kwargs).arguments
        self._build_shapes = {**given, **given.pop("named_shapes", {})}
        self.built = True
        self._lock_state()

    prepared._is_prepared = True  # type: ignore[attr-defined]
    return prepared


class Layer(LayerState, LayerSettings, Operation):
    """A function of tensors with state. Subclass it and write some of

    - `__init__(self, ..., **kwargs)`: store the arguments, make sublayers; pass **kwargs to super().__init__.
    - `build(self, input_shape)`: make weights whose shapes follow from the input, with `add_weight`.
    - `call(self, inputs, training=None, mask=None)`: compute, with lamina.ops. `training` and `mask` are
      filled in for layers that name them.
    - `get_config(self)`: the constructor's arguments; not needed when they are plain numbers and strings.

    activity_regularizer: penalty on the output, added to the losses. trainable: whether training changes it.
    dtype: of weights and computation, "float32" by default. autocast: whether float inputs are cast to it.
    name: unique within a model; "dense", "dense_1", ... when left out.

    >>> class Scale(lamina.layers.Layer):
    ...     def build(self, input_shape):
    ...         self.factor = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="factor")
    ...
    ...     def call(self, inputs):
    ...         return inputs * self.factor
    >>> Scale()(np.ones((2, 3))).shape
    (2, 3)
    """

    _ready = False  # becomes True in __init__; False means that super().__init__() was forgotten
    _needs_build = True  # layers without weights set this to False
    _is_building = False
    built = False
    # Whether inputs are converted here; models do it themselves.
    _convert_input_args = True
    _allow_non_tensor_positional_args = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not getattr(cls.build, "_is_prepared", False):
            cls.build = _prepared(cls.build)  # type: ignore[method-assign]

    def __init__(
        self,
        *,
        activity_regularizer: Any = None,
        trainable: bool = True,
        dtype: Any = None,
        autocast: bool = True,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        self._ready = True
        Operation.__init__(self, name=name)
        self._dtype_policy: dtype_policies.DTypePolicy = dtype_policies.get(dtype)
        self.activity_regularizer = regularizers.get(activity_regularizer)
        if not isinstance(trainable, bool):
            raise ArgumentError(f"trainable must be True or False, got {trainable!r}.")
        self._trainable = trainable
        self.autocast = autocast
        self._read_input_shape(kwargs)
        if kwargs:
            known = [*signature_of(type(self).__init__).parameters, *signature_of(Layer.__init__).parameters]
            near = nearest(next(iter(kwargs)), known)
            raise TypeError(
                f"{type(self).__name__} got unexpected keyword arguments: {', '.join(kwargs)}."
                + (f" Did you mean '{near}'?" if near else "")
            )
        self.built = not self._needs_build
        self._path: str | None = None
        self._parent_path: str | None = None
        self._input_spec: Any = None
        self._build_shapes: dict[str, Any] | None = None
        self._supports_masking = not is_default(type(self).compute_mask)

    def _read_input_shape(self, kwargs: dict[str, Any]) -> None:
        shape = kwargs.pop("input_shape", None)
        if "input_dim" in kwargs:
            shape = (kwargs.pop("input_dim"),)
        if shape is not None:
            warnings.warn(
                f"{type(self).__name__}: instead of input_shape or input_dim, make Input(shape=...) the "
                "first entry of the Sequential model.",
                stacklevel=4,
            )
            self._input_shape_arg = shapes.standardize(shape)

    def _check_initialized(self) -> None:
        if not self._ready:
            raise _without_init(type(self))

    # --- build -------------------------------------------------------------------------------------

    @default
    @_prepared
    def build(self, input_shape: Any = None, **named_shapes: Any) -> None:
        """Make the weights for inputs of this shape (with the batch, None where it is not known).

        named_shapes: `<argument>_shape=...` for a `call` with several tensor arguments. By default the
        sublayers are built, by tracing `call`.
        """
        if not all(layer.built for layer in self._layers):
            self._trace((input_shape,) if input_shape is not None else (), named_shapes)

    def _trace(self, positional_shapes: Any, named_shapes: dict[str, Any]) -> Any:
        """KerasTensors like the outputs of `call` for inputs of these shapes."""

        def tensors(structure: Any) -> Any:
            return shapes.map_shapes(lambda shape: KerasTensor(shape, self.compute_dtype), structure)

        inputs = tuple(tensors(shape) for shape in positional_shapes)
        named = {name.removesuffix("_shape"): tensors(shape) for name, shape in named_shapes.items()}
        return infer.output_spec(self.call, inputs, named)

    def _maybe_build(self, arguments: CallArguments) -> None:
        with _building:
            if not self.built:
                self._build_for(arguments)
                call_context.warn_if_homeless(self)
        self._check_inputs(arguments.first)

    def _build_for(self, arguments: CallArguments) -> None:
        if not is_default(type(self).build):  # otherwise the sublayers build themselves when they are called
            self.build(**shapes_for(type(self).build, arguments, self))

    def get_build_config(self) -> dict[str, Any] | None:
        """What `build_from_config` needs to make the weights again; None when there is nothing to know."""
        if not self._build_shapes:
            return None
        if len(self._build_shapes) == 1:
            return {"input_shape": next(iter(self._build_shapes.values()))}
        return {"shapes_dict": dict(self._build_shapes)}

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Build the layer as `get_build_config` described it."""
        if "shapes_dict" in config:
            self.build(**{name: _as_shape(shape) for name, shape in config["shapes_dict"].items()})
        elif config.get("input_shape") is not None:
            self.build(_as_shape(config["input_shape"]))

    @property
    def path(self) -> str | None:
        """Where the layer sits among the layers around it: "encoder/dense"; None before it is built."""
        return self._path

    def _name_scope(self) -> name_scope:
        if self._parent_path is None:
            self._parent_path = current_path()
        return name_scope(self.name, caller=self, override_parent=self._parent_path)

    # --- calling -----------------------------------------------------------------------------------

    def _check_inputs(self, inputs: Any) -> None:
        spec = self.input_spec
        if spec:
            input_spec.check(spec, inputs, self)

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """The computation. Written by subclasses; users call the layer itself."""
        raise NotImplementedError(f"{type(self).__name__} has no call() method: write call(self, inputs).")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Apply the layer: convert the inputs, build it at the first call, then run `call`.

        Arrays give arrays, traced tensors give traced tensors, KerasTensors give KerasTensors.
        Raises ShapeError, DTypeError or ArgumentError, naming the layer, for inputs it cannot take.
        """
        self._check_initialized()
        symbolic = is_symbolic(args, kwargs)
        given = (args, kwargs)
        args, kwargs = self._converted(args, dict(kwargs))
        arguments = self._bind(args, kwargs)
        self._check_inputs(arguments.first)
        with contained(), self._name_scope():
            if not self.built:
                self._maybe_build(arguments)
            outer = call_context.current()
            if outer is None:
                losses.forget(self._flatten_layers())
            context = call_context.Call(self, self._training(arguments, outer))
            with call_context.inside(context):
                self._fill_in(arguments, context, kwargs)
                mask = kwargs.get("mask")
                if mask is None:
                    mask = tree.map_structure(get_mask, arguments.first)
                with autocast(self.compute_dtype if self.autocast else None):
                    try:
                        outputs = (self.compute_output_spec if symbolic else self.call)(*args, **kwargs)
                    except Exception as error:
                        _say_where(error, self, arguments)
                        raise
                    if self.activity_regularizer is not None and not symbolic:
                        self._regularize_activity(outputs)
                outputs = self._masked(arguments.first, outputs, mask)
        if not self.built:
            self._note_build(arguments)
        if symbolic:
            Node(self, *given, outputs)
        return outputs

    def _converted(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if self._convert_input_args:
            dtype, autocast = self.input_dtype, self.autocast
            try:
                args = tuple(convert(value, dtype, autocast, positional=True) for value in args)
                kwargs = {
                    name: convert(value, dtype, autocast, positional=False) for name, value in kwargs.items()
                }
            except DTypeError as error:
                error.add_note(f"  in {input_spec.describe_layer(self)}")
                raise
        if not self._allow_non_tensor_positional_args:
            self._check_tensors(args)
        return args, kwargs

    def _check_tensors(self, args: tuple[Any, ...]) -> None:
        for leaf in tree.leaves(args):
            if leaf is not None and not is_tensor(leaf):
                raise ArgumentError(
                    f"{input_spec.describe_layer(self)} takes tensors as positional arguments.",
                    got=f"{leaf!r} of type {type(leaf).__name__}",
                    fix="pass it by keyword, or turn it into an array first.",
                )

    def _bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> CallArguments:
        signature = signature_of(type(self).call)
        extra = {}
        if "training" in kwargs and "training" not in signature.parameters:
            extra["training"] = kwargs.pop(
                "training"
            )  # any layer may be told; the layers inside want to know
        try:
            return CallArguments(signature, args, kwargs, extra)
        except TypeError as error:
            raise TypeError(
                f"{input_spec.describe_layer(self)} cannot be called this way: {error}. "
                f"Its arguments are {', '.join(signature.parameters)}."
            ) from None

    @staticmethod
    def _training(arguments: CallArguments, outer: call_context.Call | None) -> Any:
        """By priority: what the caller passed, the call around this one, the default in the signature."""
        value = arguments.values.get("training")
        if (
            (value is None or "training" not in arguments.given)
            and outer is not None
            and outer.training is not None
        ):
            return outer.training
        return value

    def _fill_in(self, arguments: CallArguments, context: call_context.Call, kwargs: dict[str, Any]) -> None:
        """Set `training` and the masks in `kwargs` where the signature names them and the caller did not."""
        parameters = signature_of(type(self).call).parameters
        if "training" in parameters and context.training is not None:
            kwargs["training"] = context.training
        if len(arguments.tensors) == 1:
            (value,) = arguments.tensors.values()
            if "mask" in parameters and arguments.values["mask"] is None:
                kwargs["mask"] = tree.map_structure(get_mask, value)
            return
        for name, value in arguments.tensors.items():
            mask_name = f"{name}_mask"
            if mask_name in parameters and arguments.values[mask_name] is None:
                kwargs[mask_name] = tree.map_structure(get_mask, value)

    def _masked(self, inputs: Any, outputs: Any, previous_mask: Any) -> Any:
        """The outputs carrying their masks."""
        has_mask = any(mask is not None for mask in tree.leaves(previous_mask))
        if not self.supports_masking:
            if has_mask:
                warnings.warn(
                    f"{input_spec.describe_layer(self)} does not support masking: the mask ends here.",
                    stacklevel=3,
                )
            return outputs
        if not has_mask and is_default(type(self).compute_mask):
            return outputs
        flat = tree.flatten(outputs)
        if all(get_mask(output) is not None for output in flat):
            return outputs
        masks = self.compute_mask(inputs, previous_mask)
        if masks is None:
            return outputs
        flat_masks = tree.flatten(masks)
        flat_masks += [None] * (len(flat) - len(flat_masks))  # states and scores have none
        marked = [
            with_mask(output, mask) if mask is not None and get_mask(output) is None else output
            for output, mask in zip(flat, flat_masks)
        ]
        return tree.pack_like(outputs, marked)

    def _note_build(self, arguments: CallArguments) -> None:
        self._path = self._path or "/".join(part for part in (self._parent_path, self.name) if part)
        self._build_shapes = arguments.shapes()
        self.built = True
        self._lock_state()

    def stateless_call(
        self,
        trainable_variables: Sequence[Any],
        non_trainable_variables: Sequence[Any],
        *args: Any,
        return_losses: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Call the layer as a pure function of its variables.

        trainable_variables, non_trainable_variables: values for the variables of the same names, in order.
        Returns (outputs, new non-trainable values), and the losses when `return_losses`; no variable changes.
        """
        return stateless.call(self, trainable_variables, non_trainable_variables, args, kwargs, return_losses)

    # --- shapes of outputs -------------------------------------------------------------------------

    @default
    def compute_output_shape(self, *args: Any, **kwargs: Any) -> Any:
        """The shape, or structure of shapes, of the outputs; takes what `build` takes. By tracing `call`."""
        return tree.map_structure(shapes.shape_of, self._trace(args, kwargs))

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """KerasTensors like the outputs for these KerasTensors."""
        if is_default(type(self).compute_output_shape):
            return infer.output_spec(self.call, args, kwargs)
        arguments = self._bind(args, dict(kwargs))
        found = self.compute_output_shape(**shapes_for(type(self).compute_output_shape, arguments, self))
        return shapes.map_shapes(lambda shape: KerasTensor(shape, self.compute_dtype), found)

    # --- losses ------------------------------------------------------------------------------------

    def add_loss(self, loss: Any) -> None:
        """Add a scalar, or a list of them, to what training minimises. Use it inside `call`.

        >>> def call(self, inputs):
        ...     self.add_loss(1e-3 * ops.mean(ops.square(inputs)))
        ...     return inputs
        """
        self._check_initialized()
        flat = tree.flatten(loss)
        for entry in flat:
            if not isinstance(entry, (int, float, np.ndarray, np.generic, Tensor)):
                raise ArgumentError(
                    f"add_loss() of {input_spec.describe_layer(self)} takes tensors.",
                    got=f"{entry!r} of type {type(entry).__name__}",
                    fix="call it inside call(), with what was computed there.",
                )
        losses.add(self, flat)

    @property
    def losses(self) -> list[Any]:
        """Scalars: those added in the last call, activity penalties, and the penalties of the weights."""
        found = [loss for layer in self._flatten_layers() for loss in losses.of(layer)]
        for variable in self.trainable_weights:
            if variable.regularizer is not None:
                found.append(variable.regularizer(variable.value))
        return found

    def _regularize_activity(self, outputs: Any) -> None:
        for output in tree.leaves(outputs):
            if is_tensor(output):
                penalty = self.activity_regularizer(output)
                # Per example, so that the strength does not depend on the batch size.
                examples = output.shape[0] if output.ndim else 1
                self.add_loss(ops.divide(penalty, float(max(examples, 1))))

    # --- config ------------------------------------------------------------------------------------

    @default
    def get_config(self) -> dict[str, Any]:
        self._check_initialized()
        config = {**super().get_config(), "trainable": self.trainable, "dtype": _described(self.dtype_policy)}
        if self.activity_regularizer is not None:
            config["activity_regularizer"] = regularizers.serialize(self.activity_regularizer)
        return self._accepted(config) if self._has_default_config() else config

    def __getattr__(self, name: str) -> Any:
        """Reached only when nothing else answers to `name`, or a property raised AttributeError."""
        found = getattr(type(self), name, None)
        if isinstance(found, property) and found.fget is not None:
            return found.fget(self)  # raises again, with its own message
        if name.startswith("_") and not name.startswith("__") and not self._ready:
            raise _without_init(type(self))
        what = f"'{type(self).__name__}' object has no attribute '{name}'"
        if name.startswith("__") or not self.__dict__.get("_ready") or self.__dict__.get("built"):
            raise AttributeError(what)
        raise UnbuiltError(
            f"{what}: {input_spec.describe_layer(self)} is not built yet.",
            fix="call it on data (or on an Input), or call build(input_shape), first.",
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.__dict__.get('name')}, built={self.built}>"


def _without_init(kind: type) -> UnbuiltError:
    return UnbuiltError(
        f"{kind.__name__}.__init__() does not call super().__init__().",
        fix="make super().__init__(**kwargs) its first statement.",
    )


def _described(policy: dtype_policies.DTypePolicy) -> Any:
    """A policy in a config: its name, or the whole map."""
    if isinstance(policy, dtype_policies.DTypePolicyMap):
        return dtype_policies.serialize(policy)
    return policy.name


def _as_shape(shape: Any) -> Any:
    return shapes.map_shapes(tuple, shape)


def _say_where(error: Exception, layer: Layer, arguments: CallArguments) -> None:
    """Add to the message which layer it was; only the innermost one does."""
    named = f"'{layer.name}'" in str(error)
    if named or any(note.startswith("  in ") for note in getattr(error, "__notes__", ())):
        return
    given = ", ".join(f"{name} {shape}" for name, shape in arguments.shapes().items())
    error.add_note(f"  in {input_spec.describe_layer(layer)}" + (f", called with {given}" if given else ""))
