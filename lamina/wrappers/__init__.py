"""Models as estimators of scikit-learn, which is imported when one of these names is first asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lamina.wrappers.scikit_learn import SKLearnClassifier as SKLearnClassifier
    from lamina.wrappers.scikit_learn import SKLearnRegressor as SKLearnRegressor
    from lamina.wrappers.scikit_learn import SKLearnTransformer as SKLearnTransformer

__all__ = ["SKLearnClassifier", "SKLearnRegressor", "SKLearnTransformer"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'lamina.wrappers' has no attribute {name!r}")
    try:
        from lamina.wrappers import scikit_learn
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != "sklearn":
            raise
        raise ImportError(f'{name} needs scikit-learn: pip install "lamina[sklearn]"') from error
    return getattr(scikit_learn, name)
