"""Layers that change images, by name: how one is made from a `layers` module."""

from __future__ import annotations

SEED = {"seed": 5}

AUGMENTATIONS = {
    "RandomFlip": lambda L: L.RandomFlip("horizontal", **SEED),
    "RandomRotation": lambda L: L.RandomRotation((-0.2, 0.3), **SEED),
    "RandomZoom": lambda L: L.RandomZoom(0.3, (-0.2, 0.1), fill_mode="constant", fill_value=7.0, **SEED),
    "RandomTranslation": lambda L: L.RandomTranslation(0.3, 0.2, fill_mode="wrap", **SEED),
    "RandomShear": lambda L: L.RandomShear(0.3, 0.2, fill_mode="nearest", **SEED),
    "RandomPerspective": lambda L: L.RandomPerspective(0.9, scale=0.5, **SEED),
    "RandomCrop": lambda L: L.RandomCrop(5, 4, **SEED),
    "RandomBrightness": lambda L: L.RandomBrightness(0.2, **SEED),
    "RandomContrast": lambda L: L.RandomContrast((0.4, 0.3), **SEED),
    "RandomHue": lambda L: L.RandomHue(0.4, **SEED),
    "RandomSaturation": lambda L: L.RandomSaturation((0.1, 0.45), **SEED),
    "RandomColorDegeneration": lambda L: L.RandomColorDegeneration(0.5, **SEED),
    "RandomSharpness": lambda L: L.RandomSharpness(0.9, **SEED),
    "RandomPosterization": lambda L: L.RandomPosterization(4, **SEED),
    "RandomInvert": lambda L: L.RandomInvert((0.5, 0.8), **SEED),
    "RandomGrayscale": lambda L: L.RandomGrayscale(0.5, **SEED),
    "Solarization": lambda L: L.Solarization(0.2, 0.6, **SEED),
    "AutoContrast": lambda L: L.AutoContrast(),
    "Equalization": lambda L: L.Equalization(),
    "RandomGaussianBlur": lambda L: L.RandomGaussianBlur(0.9, 5, (0.5, 2.0), **SEED),
    "RandomElasticTransform": lambda L: L.RandomElasticTransform((0.5, 0.9), (0.4, 0.8), **SEED),
    "ContrastLimitedAdaptiveHistogramEqualization": lambda L: L.ContrastLimitedAdaptiveHistogramEqualization(
        tile_grid_size=(2, 3)
    ),
    "MaxNumBoundingBoxes": lambda L: L.MaxNumBoundingBoxes(3),
    "RandomErasing": lambda L: L.RandomErasing((0.6, 0.9), fill_value=9.0, **SEED),
    "MixUp": lambda L: L.MixUp(0.4, **SEED),
    "CutMix": lambda L: L.CutMix((0.5, 0.9), **SEED),
    "RandomColorJitter": lambda L: L.RandomColorJitter((0, 255), 0.2, 0.3, (0.3, 0.6), 0.1, **SEED),
    "RandAugment": lambda L: L.RandAugment(factor=0.4, **SEED),
    "AugMix": lambda L: L.AugMix(num_chains=2, chain_depth=2, **SEED),
    "Pipeline": lambda L: L.Pipeline([L.RandomFlip(seed=1), L.RandomRotation(0.1, seed=2)]),
    "Resizing": lambda L: L.Resizing(5, 9),
    "CenterCrop": lambda L: L.CenterCrop(5, 4),
}

# What comes out of images (4, 7, 8, 3), where it is another shape.
SHAPES = {"RandomCrop": (4, 5, 4, 3), "Resizing": (4, 5, 9, 3), "CenterCrop": (4, 5, 4, 3)}
# Layers that do the same whether training or not.
ALWAYS = {"AutoContrast", "ContrastLimitedAdaptiveHistogramEqualization", "Resizing", "CenterCrop"}
