"""Objects as JSON-able dicts and back. A file can only *name* things: nothing is imported, no code loaded.

The form is Keras': `{"module", "class_name", "config", "registered_name"}`. Built-in things are found by
their class name in the registries (the module only tells two of one name apart, so "keras.losses" reads as
"lamina.losses"); everything else must have been registered, or be handed over in `custom_objects`.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from contextvars import ContextVar, Token
from typing import Any, TypeVar

import numpy as np

from lamina.core import dtypes
from lamina.core.errors import ArgumentError, StateError, nearest, unknown_name

Registered = TypeVar("Registered", bound=Any)  # a class or function, which a decorator gives back

_PLAIN = (str, int, float, bool, type(None))

_custom_objects: dict[str, Any] = {}
_custom_names: dict[Any, str] = {}
_builtins: dict[str, dict[str, Any]] = {}  # class or function name -> {room: object}
_scope: ContextVar[Mapping[str, Any]] = ContextVar(
    "lamina_custom_objects", default=types.MappingProxyType({})
)


# --- naming things ---------------------------------------------------------------------------------


def register_serializable(
    package: str = "Custom", name: str | None = None
) -> Callable[[Registered], Registered]:
    """Decorator: let files name this class or function, as "package>name".

    >>> @register_serializable("my_package")
    ... class Scaled(lamina.layers.Layer): ...

    Raises ArgumentError for a class without `get_config`.
    """

    def decorate(target: Registered) -> Registered:
        if isinstance(target, type) and not hasattr(target, "get_config"):
            raise ArgumentError(
                f"Cannot register class {target.__name__}: it has no get_config() method.",
                fix="add get_config(self), returning the constructor's arguments as a dict.",
            )
        registered_name = f"{package}>{name or target.__name__}"
        _custom_objects[registered_name] = target
        _custom_names[target] = registered_name
        return target

    return decorate


def get_custom_objects() -> dict[str, Any]:
    """The global dict from registered names to classes and functions; changing it registers."""
    return _custom_objects


def get_registered_name(obj: Any) -> str:
    """The name `obj` was registered under, or its Python name."""
    return _custom_names[obj] if obj in _custom_names else str(obj.__name__)


def get_registered_object(
    name: str | None,
    custom_objects: Mapping[str, Any] | None = None,
    module_objects: Mapping[str, Any] | None = None,
) -> Any:
    """What `name` stands for: in the scope, among the registered things, in the given dicts; else None."""
    if name is None:
        return None
    for source in (_scope.get(), _custom_objects, custom_objects or {}, module_objects or {}):
        if name in source:
            return source[name]
    return None


class custom_object_scope:  # noqa: N801 - Keras' name
    """Context in which names in configs stand for these classes and functions. Scopes nest.

    >>> with custom_object_scope({"my_activation": my_activation}):
    ...     layer = lamina.layers.Dense(3, activation="my_activation")
    """

    def __init__(self, custom_objects: Mapping[str, Any] | None) -> None:
        self.custom_objects = dict(custom_objects or {})
        self._tokens: list[Token[Mapping[str, Any]]] = []

    def __enter__(self) -> custom_object_scope:
        self._tokens.append(_scope.set({**_scope.get(), **self.custom_objects}))
        return self

    def __exit__(self, *_: object) -> None:
        _scope.reset(self._tokens.pop())


class Registry:
    """The built-in classes and functions of one kind ("optimizer", "layer"), by name.

    Lookups ignore case when no name fits exactly. Each room keeps one registry and gives it a public face:
    `get = REGISTRY.get`, `serialize = REGISTRY.serialize`, `deserialize = REGISTRY.deserialize`.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._objects: dict[str, Any] = {}
        self._lowered: dict[str, str] = {}

    def register(self, target: Registered, *aliases: str) -> Registered:
        """Add a class or function under its own name and `aliases`; returns it, so it also decorates."""
        for name in dict.fromkeys((str(target.__name__), *aliases)):
            if name in self._objects:
                raise ArgumentError(f"There is already a {self.kind} named {name!r}.")
            self._objects[name] = target
            self._lowered.setdefault(name.lower(), name)
            _builtins.setdefault(name, {})[_room(target)] = target
        return target

    def names(self) -> list[str]:
        """Every name and alias, sorted."""
        return sorted(self._objects)

    def find(self, name: str) -> Any:
        """The class or function of this name, also among custom ones; None when there is none."""
        custom = get_registered_object(name)
        if custom is not None:
            return custom
        return self._objects.get(name, self._objects.get(self._lowered.get(name.lower(), "")))

    def get(self, identifier: Any) -> Any:
        """The object meant by a name, config dict, class (instantiated), callable or object; None stays None.

        Raises ArgumentError for an unknown name, with the nearest one that exists.
        """
        if identifier is None:
            return None
        if isinstance(identifier, str):
            found = self.find(identifier)
            if found is None:
                raise unknown_name(self.kind, identifier, self._objects)
            return found() if isinstance(found, type) else found
        if isinstance(identifier, Mapping):
            return self.deserialize(identifier)
        if isinstance(identifier, type):
            return identifier()
        if callable(identifier) or hasattr(identifier, "get_config"):
            return identifier
        raise ArgumentError(
            f"Cannot make a {self.kind} from {identifier!r}.",
            expected=f"a name, a config dict, a class, or a {self.kind} object",
            got=type(identifier).__name__,
        )

    def serialize(self, target: Any) -> Any:
        """The name of a built-in function, else the config dict of `serialize_object`."""
        name = getattr(target, "__name__", None)
        if isinstance(target, types.FunctionType) and self._objects.get(name or "") is target:
            return name
        return serialize_object(target)

    def deserialize(self, config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
        """The object of a name or config dict."""
        with custom_object_scope(custom_objects):
            if not isinstance(config, Mapping):
                return self.get(config)
            if "class_name" not in config:
                raise ArgumentError(
                    f"This dict does not describe a {self.kind}.",
                    expected='keys "class_name" and "config"',
                    got=f"keys {sorted(map(str, config))}",
                )
            return _deserialize({**config, "config": config.get("config", {})}, self)


def _room(target: Any) -> str:
    """The public package a thing lives in: "losses" for lamina.losses.probabilistic."""
    parts = str(getattr(target, "__module__", "") or "").split(".")
    return parts[1] if parts[0] == "lamina" and len(parts) > 1 else parts[0]


# --- objects to dicts ------------------------------------------------------------------------------


def serialize_object(obj: Any) -> Any:
    """A JSON-able description of plain values, arrays, containers, functions, objects with `get_config`."""
    if isinstance(obj, np.generic):
        return obj.item()
    if isinstance(obj, _PLAIN):
        return obj
    if isinstance(obj, tuple):
        return tuple(serialize_object(item) for item in obj)
    if isinstance(obj, list):
        return [serialize_object(item) for item in obj]
    if isinstance(obj, Mapping) and not hasattr(obj, "get_config"):
        return {key: serialize_object(value) for key, value in obj.items()}
    if isinstance(obj, np.ndarray):
        return {"class_name": "__numpy__", "config": {"value": obj.tolist(), "dtype": obj.dtype.name}}
    if isinstance(obj, bytes):
        return {"class_name": "__bytes__", "config": {"value": obj.decode("utf-8")}}
    if isinstance(obj, slice):
        parts = {part: serialize_object(getattr(obj, part)) for part in ("start", "stop", "step")}
        return {"class_name": "__slice__", "config": parts}
    if obj is Ellipsis:
        return {"class_name": "__ellipsis__", "config": {}}
    if isinstance(obj, (types.FunctionType, types.BuiltinFunctionType, np.ufunc)):
        return _serialize_function(obj)
    if isinstance(obj, type):
        raise ArgumentError(
            f"Cannot serialize the class {obj.__name__}.", fix=f"pass an object: {obj.__name__}(...)."
        )
    if not hasattr(obj, "get_config"):
        raise ArgumentError(
            f"Cannot serialize an object of type {type(obj).__name__}.",
            fix="give its class get_config(self), returning the constructor's arguments as a dict.",
        )
    return _serialize_instance(obj)


def _serialize_function(function: Any) -> dict[str, Any]:
    name = function.__name__
    if name == "<lambda>":
        code = function.__code__
        return {"class_name": "__lambda__", "config": {"where": f"{code.co_filename}:{code.co_firstlineno}"}}
    if _is_builtin(function):
        return {
            "module": f"lamina.{_room(function)}",
            "class_name": "function",
            "config": name,
            "registered_name": name,
        }
    registered_name = get_registered_name(function)
    return {
        "module": getattr(function, "__module__", None),
        "class_name": "function",
        "config": registered_name,
        "registered_name": registered_name,
    }


def _serialize_instance(target: Any) -> dict[str, Any]:
    cls = type(target)
    config = target.get_config()
    if not isinstance(config, Mapping):
        raise ArgumentError(f"{cls.__name__}.get_config() must return a dict, got {type(config).__name__}.")
    builtin = _is_builtin(cls)
    description: dict[str, Any] = {
        "module": f"lamina.{_room(cls)}" if builtin else cls.__module__,
        "class_name": cls.__name__,
        "config": serialize_object(config),
        "registered_name": None if builtin else get_registered_name(cls),
    }
    for stage in ("build", "compile"):
        get_stage_config = getattr(target, f"get_{stage}_config", None)
        stage_config = get_stage_config() if get_stage_config else None
        if stage_config is not None:
            description[f"{stage}_config"] = serialize_object(stage_config)
    return description


def _is_builtin(target: Any) -> bool:
    return _builtins.get(target.__name__, {}).get(_room(target)) is target


# --- dicts to objects ------------------------------------------------------------------------------


def deserialize_object(
    config: Any,
    custom_objects: Mapping[str, Any] | None = None,
    safe_mode: bool = True,
) -> Any:
    """The thing a description stands for; the inverse of `serialize_object`, which also reads Keras' JSON.

    `custom_objects` maps names to classes and functions. `safe_mode` is accepted for Keras' sake: code is
    never loaded, whatever it says. Raises ArgumentError for anything that is not registered.
    """
    with custom_object_scope(custom_objects):
        return _deserialize(config)


def _deserialize(config: Any, registry: Registry | None = None) -> Any:
    if isinstance(config, str):
        custom = get_registered_object(config)
        return config if custom is None else custom
    if isinstance(config, _PLAIN):
        return config
    if isinstance(config, (list, tuple)):
        return [_deserialize(item) for item in config]
    if not isinstance(config, Mapping):
        raise ArgumentError(
            f"Cannot read a config of type {type(config).__name__}.", expected="what JSON can hold"
        )
    if "class_name" not in config or "config" not in config:
        return {key: _deserialize(value) for key, value in config.items()}
    class_name = config["class_name"]
    if class_name in _SPECIAL:
        return _SPECIAL[class_name](config["config"] or {})
    if class_name == "function":
        return _find(config, config["config"], "function", registry)
    return _make_instance(config, _find(config, class_name, "class", registry))


def _find(config: Mapping[str, Any], name: Any, sort: str, registry: Registry | None) -> Any:
    """The class or function a config names: custom ones first, then those of `registry`, then built-in."""
    if not isinstance(name, str):
        raise ArgumentError(f"The name of a {sort} must be a string, got {name!r}.")
    module = config.get("module") or ""
    registered_name = config.get("registered_name", name)
    for candidate in (registered_name, name if sort == "function" or registered_name else None):
        custom = get_registered_object(candidate)
        if custom is not None:
            return custom
    foreign = module.split(".")[0] not in ("", "lamina", "keras", "builtins")
    if not foreign:
        found = registry.find(name) if registry is not None else None
        if found is not None:
            return found
        rooms = _builtins.get(name, {})
        matching = [target for room, target in rooms.items() if room in module.split(".")]
        candidates = matching or list(rooms.values())
        if len(candidates) == 1:
            return candidates[0]
        if candidates:
            raise ArgumentError(
                f"The name {name!r} is ambiguous: it lives in {' and '.join(sorted(rooms))}.",
                fix='add the module to the config, for example "module": "lamina.losses".',
            )
    kind = registry.kind if registry is not None else sort
    known = registry.names() if registry is not None and not foreign else [*_builtins, *_custom_objects]
    near = nearest(name, known)
    described = f"{registered_name!r} of module {module!r}" if foreign else repr(name)
    raise ArgumentError(
        f"The config names the {kind} {described}, which is not registered.",
        fix="register it with @lamina.utils.register_serializable() before loading, "
        f"or pass custom_objects={{{name!r}: ...}}."
        + (f" Did you mean '{near}'?" if near and near != name else ""),
    )


def _make_instance(config: Mapping[str, Any], cls: Any) -> Any:
    inner = config["config"] if config["config"] is not None else {}
    if isinstance(cls, types.FunctionType):
        return cls
    if not hasattr(cls, "from_config"):
        raise ArgumentError(
            f"Cannot make a {cls.__name__} from its config: the class has no from_config() method."
        )
    if not isinstance(inner, Mapping):
        raise ArgumentError(f"The config of {cls.__name__} must be a dict, got {type(inner).__name__}.")
    try:
        instance = cls.from_config(dict(inner))
    except TypeError as error:
        raise ArgumentError(
            f"Cannot make a {cls.__name__} from its config: {error}",
            got=f"config with {', '.join(map(str, inner)) or 'no entries'}",
            fix="let from_config() turn nested configs back into objects, and __init__ accept every entry.",
        ) from error
    if config.get("build_config") and not getattr(instance, "built", True):
        instance.build_from_config(config["build_config"])
        instance.built = True
    if config.get("compile_config"):
        instance.compile_from_config(config["compile_config"])
    return instance


def _read_array(config: Mapping[str, Any]) -> np.ndarray[Any, Any]:
    dtype = config.get("dtype")
    return np.array(config["value"], dtypes.to_numpy(dtype) if dtype in dtypes.ALL else dtype)


def _read_slice(config: Mapping[str, Any]) -> slice:
    return slice(*(_deserialize(config.get(part)) for part in ("start", "stop", "step")))


def _refuse_lambda(config: Mapping[str, Any]) -> Any:
    raise StateError(
        "The config holds a lambda, and loading never runs code from a file.",
        fix="use a named function, register it with @lamina.utils.register_serializable(), and save again.",
    )


_SPECIAL: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "__numpy__": _read_array,
    "__tensor__": _read_array,
    "__bytes__": lambda config: config["value"].encode("utf-8"),
    "__slice__": _read_slice,
    "__ellipsis__": lambda config: Ellipsis,
    "__lambda__": _refuse_lambda,
}
