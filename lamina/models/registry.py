"""The classes of models that files and configs can name."""

from __future__ import annotations

from lamina.core.serialization import Registry

REGISTRY = Registry("model")
