"""F3: reverse-mode differentiation, graph to graph."""

from lamina.grad.reverse import gradients

__all__ = ["gradients"]
