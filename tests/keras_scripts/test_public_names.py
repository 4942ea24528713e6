"""Public names and signatures against real Keras: what is listed exists, is called alike, defaults alike."""

import inspect
import types
from fnmatch import fnmatchcase

import pytest
from public_names import CLASSES, COVERED, DEFAULTS, DIFFERENCES, WITHOUT

import lamina

VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
OPTIONS = """
    clipnorm clipvalue global_clipnorm use_ema ema_momentum ema_overwrite_frequency loss_scale_factor
    gradient_accumulation_steps name
"""
NAMES = [f"{room}.{name}".lstrip(".") for room, names in COVERED.items() for name in names.split()]


def find(package, path):
    for part in filter(None, path.split(".")):
        package = getattr(package, part)
    return package


def public(thing):
    return {name for name in dir(thing) if not name.startswith("_")}


def parameters(function):
    """Name to default of the named parameters."""
    given = inspect.signature(function).parameters.values()
    return {each.name: each.default for each in given if each.kind not in VARIADIC and each.name != "self"}


def allowed(name):
    """The parameters that only Keras, and that only Lamina may have; "*" for any."""
    theirs, ours = set(), set()
    for pattern, only_theirs, only_ours, _ in DIFFERENCES:
        if fnmatchcase(name, pattern):
            theirs.update(only_theirs.replace("OPTIONS", OPTIONS).split())
            ours.update(only_ours.split())
    return theirs, ours


def differences(name, ours, theirs):
    """How two signatures differ beyond what was reviewed."""
    found, wanted = parameters(ours), parameters(theirs)
    only_theirs, only_ours = allowed(name)
    missing = set() if "*" in only_theirs else wanted.keys() - found.keys() - only_theirs
    surplus = found.keys() - wanted.keys() - only_ours
    if missing or surplus:
        return f"{name}: without {sorted(missing)}, with {sorted(surplus)} beyond Keras"
    common = [parameter for parameter in wanted if parameter in found]
    if common != [parameter for parameter in found if parameter in wanted]:
        return f"{name}: another order, {list(found)} against {list(wanted)}"
    for parameter in common:
        reviewed = any(fnmatchcase(name, pattern) and parameter == each for pattern, each in DEFAULTS)
        if not reviewed and repr(found[parameter]) != repr(wanted[parameter]):
            return f"{name}: {parameter}={found[parameter]!r} against Keras' {wanted[parameter]!r}"
    return None


def test_the_list_of_ops_is_the_registry():
    others = """
        convert_to_numpy custom_gradient dtype image is_tensor linalg ndim nn numpy random result_type shape
        size vectorize
    """
    # lamina.random, once it is imported, registers ops of its own.
    registered = {name for name, each in lamina.ops.OPS.items() if each.__module__ != "lamina.random"}
    elsewhere = set(lamina.ops.image.__all__)
    assert elsewhere <= registered
    assert lamina.ops.__all__ == sorted({*registered, *others.split()} - elsewhere)


def test_editors_see_every_public_name():
    block = inspect.getsource(lamina).split("if TYPE_CHECKING")[1].split("_MODULES")[0]
    seen = {line.split(" as ")[1] for line in block.splitlines() if " as " in line}
    keras_rooms = {room.split(".")[0] for room in COVERED} - {""}
    assert seen == keras_rooms | set(lamina._NAMES)


def test_every_name_that_both_have_is_listed(real_keras):
    for room, names in COVERED.items():
        ours, theirs = find(lamina, room), find(real_keras, room)
        both = {
            name
            for name in public(theirs)
            if hasattr(ours, name) and not isinstance(getattr(theirs, name), types.ModuleType)
        }
        assert both == set(names.split()), room or "keras"


@pytest.mark.parametrize("room", COVERED)
def test_names_are_called_as_in_keras(room, real_keras):
    wrong = []
    for name in COVERED[room].split():
        path = f"{room}.{name}".lstrip(".")
        ours, theirs = find(lamina, path), find(real_keras, path)
        assert callable(ours) == callable(theirs), path
        assert isinstance(ours, type) == isinstance(theirs, type), path
        if callable(theirs) and name != "MAP_TO_NONE":
            wrong.append(differences(path, ours, theirs))
    assert not any(wrong), "\n".join(filter(None, wrong))


@pytest.mark.parametrize("name", CLASSES.split())
def test_methods_are_those_of_keras(name, real_keras):
    ours, theirs = find(lamina, name), find(real_keras, name)
    without = {method for methods in WITHOUT for method in methods.split()}
    missing = public(theirs) - public(ours) - without
    assert not {method for method in missing if callable(getattr(theirs, method))}
    wrong = [
        differences(f"{name}.{method}", getattr(ours, method), getattr(theirs, method))
        for method in sorted(public(theirs) & public(ours))
        if inspect.isfunction(getattr(theirs, method))
    ]
    assert not any(wrong), "\n".join(filter(None, wrong))


OPTIMIZERS = (
    "SGD Adam AdamW RMSprop Adadelta Adafactor Adagrad Adamax Ftrl Lamb Lion Muon Nadam ScheduleFreeAdamW"
)


@pytest.mark.parametrize("name", OPTIMIZERS.split())
def test_optimizers_take_every_argument_of_keras(name, real_keras):
    theirs = parameters(getattr(real_keras.optimizers, name))
    config = getattr(lamina.optimizers, name)(**theirs).get_config()
    # Muon turns None into an empty list, as Keras does.
    given = {key: value for key, value in theirs.items() if key not in ("name", "exclude_layers")}
    assert {key: config[key] for key in given} == pytest.approx(given)
    assert config.keys() == theirs.keys()


def test_reviewed_differences_exist(real_keras):
    """A line in the tables that no name needs any more is taken out."""
    methods = [
        f"{name}.{method}"
        for name in CLASSES.split()
        for method in public(find(lamina, name)) & public(find(real_keras, name))
        if inspect.isfunction(getattr(find(real_keras, name), method))
    ]
    for pattern, only_theirs, only_ours, why in DIFFERENCES:
        matching = [path for path in [*NAMES, *methods] if fnmatchcase(path, pattern)]
        named = set((only_theirs.replace("OPTIONS", OPTIONS) + " " + only_ours).split())
        differing = set()
        for path in matching:
            ours, theirs = find(lamina, path), find(real_keras, path)
            differing |= parameters(ours).keys() ^ parameters(theirs).keys()
        assert why
        assert named <= differing | {"*"}, pattern
