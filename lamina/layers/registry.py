"""The layers that files and configs can name."""

from __future__ import annotations

from lamina.core.serialization import Registry

REGISTRY = Registry("layer")
get = REGISTRY.get
serialize = REGISTRY.serialize
deserialize = REGISTRY.deserialize
