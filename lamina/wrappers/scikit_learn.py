"""A model as a classifier, regressor or transformer of scikit-learn: for pipelines, searches, and scores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, TransformerMixin
from sklearn.utils.metadata_routing import get_routing_for_object
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted, validate_data

from lamina.core.errors import DataError, StateError
from lamina.models import Model, clone_model

Array = np.ndarray[Any, Any]


class _Wrapper(BaseEstimator):
    """What the three have in common. Arguments are stored as they are, which is scikit-learn's convention.

    model: a compiled Model, of which each `fit` trains a copy with fresh weights, or a function that makes
    one, called with X=, y= and model_kwargs; y is what the model will be trained on, so its shape tells how
    many outputs there must be. warm_start: train the model itself, and in the next `fit` train it further.
    fit_kwargs: arguments of Model.fit; those given to `fit` here come first.

    After `fit`: model_, the trained Model; history_, the History of its training; n_features_in_.
    """

    def __init__(
        self,
        model: Model | Callable[..., Model],
        warm_start: bool = False,
        model_kwargs: dict[str, Any] | None = None,
        fit_kwargs: dict[str, Any] | None = None,
    ) -> None:
        self.model = model
        self.warm_start = warm_start
        self.model_kwargs = model_kwargs
        self.fit_kwargs = fit_kwargs

    @property
    def epoch_(self) -> int:
        """How many epochs the last `fit` had."""
        return len(self.history_.epoch) if hasattr(self, "history_") else 0

    def fit(self, X: Any, y: Any, **kwargs: Any) -> Any:
        """Train on X [rows, features] and y [rows] or [rows, outputs]; returns self.

        kwargs: arguments of Model.fit. Raises ValueError for data that scikit-learn refuses, StateError for a
        model that is not compiled.
        """
        X, y = validate_data(self, X, y, **self._form_of_targets())
        targets = self._targets(y)
        model = self._model_for(X, targets)
        if not model.compiled or not model.loss or not model.optimizer:
            raise StateError(
                "The model of this estimator is not compiled with a loss and an optimizer.",
                fix="model.compile(optimizer=..., loss=...) before it is given, or in the function.",
            )
        self.history_ = model.fit(X, targets, **{**(self.fit_kwargs or {}), **kwargs})
        self.model_ = model
        return self

    def predict(self, X: Any) -> Array:
        """The model's outputs: [rows, outputs], or [rows] if that is what it was trained on."""
        outputs = self._outputs(X)
        return outputs.reshape(len(outputs)) if self._one_column and outputs.shape[1:] == (1,) else outputs

    def set_fit_request(self, **kwargs: bool | str | None) -> Any:
        """Which arguments of `fit` are handed on to it by pipelines and searches, True or under what name.

        For sklearn.set_config(enable_metadata_routing=True): `set_fit_request(sample_weight=True)`.
        """
        routing = get_routing_for_object(self)
        for name, alias in kwargs.items():
            routing.fit.add_request(param=name, alias=alias)
        self._metadata_request = routing
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.non_deterministic = True
        tags.target_tags.required = True
        return tags

    def _model_for(self, X: Array, targets: Array) -> Any:
        if self.warm_start and hasattr(self, "model_"):
            return self.model_
        if isinstance(self.model, Model):
            return self.model if self.warm_start else clone_model(self.model)
        return self.model(X=X, y=targets, **(self.model_kwargs or {}))

    def _outputs(self, X: Any) -> Array:
        """What the trained model gives for X."""
        check_is_fitted(self, "model_")
        outputs: Array = self.model_.predict(validate_data(self, X, reset=False), verbose=0)
        return outputs

    def _form_of_targets(self) -> dict[str, Any]:
        """What scikit-learn should accept as y."""
        return {"multi_output": True, "y_numeric": True}

    def _targets(self, y: Array) -> Array:
        """What the model is trained on: a matrix."""
        self._one_column = y.ndim == 1
        return y.reshape(len(y), -1)


class SKLearnClassifier(ClassifierMixin, _Wrapper):
    """A model that puts rows into classes, as a classifier of scikit-learn.

    y may hold any labels; the model is trained on one column for each, 1 where it is the row's class, so its
    outputs are as many as `classes_`. The other arguments and attributes are those of all wrappers:
    model, warm_start, model_kwargs, fit_kwargs; model_, history_.

    >>> def network(X, y, units):
    ...     model = lamina.Sequential([layers.Dense(units, "relu"), layers.Dense(y.shape[1], "softmax")])
    ...     model.compile("adam", "categorical_crossentropy")
    ...     return model
    >>> search = GridSearchCV(SKLearnClassifier(network), {"model_kwargs": [{"units": 8}, {"units": 32}]})
    >>> search.fit(x, names).predict(x[:2])
    array(['setosa', 'virginica'], dtype='<U10')
    """

    def predict(self, X: Any) -> Array:
        """The class of each row: the one with the largest output."""
        best = np.argmax(self.decision_function(X), axis=-1)
        return self.classes_[best]

    def decision_function(self, X: Any) -> Array:
        """The model's outputs, [rows, classes]."""
        return self._outputs(X)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.poor_score = True
        return tags

    def _form_of_targets(self) -> dict[str, Any]:
        return {}

    def _targets(self, y: Array) -> Array:
        check_classification_targets(y)
        kind = type_of_target(y)
        if kind not in ("binary", "multiclass"):
            raise DataError("The classes are one label for each row.", got=f"targets that are {kind}")
        classes = np.unique(y)
        if self.warm_start and hasattr(self, "model_") and not np.array_equal(classes, self.classes_):
            raise DataError(
                "With warm_start the classes must be those of the first fit.",
                expected=str(self.classes_.tolist()),
                got=str(classes.tolist()),
            )
        if len(classes) == 1:
            raise DataError("A classifier can't train when only one class is present.", got=repr(classes[0]))
        self.classes_: Array = classes
        return (y[:, None] == classes).astype(np.float32)


class SKLearnRegressor(RegressorMixin, _Wrapper):
    """A model that estimates numbers, as a regressor of scikit-learn.

    y: [rows], then the model has one output and `predict` gives [rows], or [rows, outputs]. The arguments and
    attributes are those of all wrappers: model, warm_start, model_kwargs, fit_kwargs; model_, history_.

    >>> estimator = make_pipeline(StandardScaler(), SKLearnRegressor(model, fit_kwargs={"epochs": 20}))
    >>> cross_val_score(estimator, x, y)
    """

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True
        tags.target_tags.multi_output = True
        return tags


class SKLearnTransformer(TransformerMixin, _Wrapper):
    """A model as a step that turns rows into others, such as embeddings (not a transformer with attention).

    The arguments and attributes are those of all wrappers: model, warm_start, model_kwargs, fit_kwargs;
    model_, history_.

    >>> pipeline = make_pipeline(SKLearnTransformer(encoder), LogisticRegression())
    """

    def transform(self, X: Any) -> Array:
        """The model's outputs, [rows, outputs]."""
        return self._outputs(X)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        tags.target_tags.multi_output = True
        return tags
