"""Why a prediction came out the way it did."""

from lamina.explain.saliency import input_contributions

__all__ = ["input_contributions"]
