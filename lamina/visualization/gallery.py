"""Many pictures beside each other, with matplotlib."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from lamina.core.errors import ArgumentError
from lamina.visualization.boxes import draw_bounding_boxes
from lamina.visualization.images import checked_images, missing
from lamina.visualization.masks import draw_segmentation_masks


def plot_image_gallery(
    images: Any,
    y_true: Any = None,
    y_pred: Any = None,
    label_map: Mapping[Any, str] | None = None,
    rows: int | None = None,
    cols: int | None = None,
    value_range: tuple[float, float] = (0, 255),
    scale: float = 2,
    path: Any = None,
    show: bool | None = None,
    transparent: bool = True,
    dpi: int = 60,
    legend_handles: Any = None,
    data_format: str | None = None,
) -> Any:
    """The images in rows and columns, with the true and the predicted class above each.

    images: (number, height, width, channels); what does not fit into rows times cols is left out. y_true,
    y_pred: class numbers, with their names in `label_map`. rows, cols: by default nearly a square.
    value_range: of the numbers in `images`. scale: inches per image. path: a file to write, instead of
    showing; transparent, dpi: of that file. show: by default without a path. legend_handles: of matplotlib.
    Returns the figure, or None when it is shown. StateError without matplotlib.

    >>> plot_image_gallery(x[:16], y[:16], model.predict(x[:16]).argmax(-1), names, path="mistakes.png")
    """
    if path is not None and show:
        raise ArgumentError("plot_image_gallery writes to a path, or shows: not both.")
    if (y_true is not None or y_pred is not None) and label_map is None:
        raise ArgumentError("y_true and y_pred need a label_map with the names of the classes.")
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise missing("matplotlib") from error
    pictures = checked_images(images, data_format)
    low, high = value_range
    pictures = np.clip((pictures.astype(np.float32) - low) / ((high - low) or 1.0), 0.0, 1.0)
    rows = rows or math.ceil(len(pictures) / cols if cols else math.sqrt(len(pictures)))
    cols = cols or math.ceil(len(pictures) / rows)
    figure, axes = pyplot.subplots(
        rows, cols, squeeze=False, figsize=(cols * scale, rows * scale), layout="tight", frameon=False
    )
    for position, axis in enumerate(axes.flat):
        axis.axis("off")
        if position >= len(pictures):
            continue
        axis.imshow(pictures[position], cmap="gray", vmin=0.0, vmax=1.0)
        said = [(name, y) for name, y in (("Truth", y_true), ("Pred", y_pred)) if y is not None]
        lines = [f"{name}: {_name(label_map, y[position])}" for name, y in said]
        axis.set_title("\n".join(lines), fontsize=8)
    if legend_handles is not None:
        figure.legend(handles=legend_handles, loc="lower center")
    if path is not None:
        figure.savefig(path, pad_inches=0, transparent=transparent, dpi=dpi)
        pyplot.close(figure)
    elif show is None or show:
        pyplot.show()
        pyplot.close(figure)
        return None
    return figure


def _name(label_map: Any, label: Any) -> str:
    number = np.asarray(label).item()
    return str(label_map.get(number, number))


def plot_bounding_box_gallery(
    images: Any,
    bounding_box_format: str,
    y_true: Any = None,
    y_pred: Any = None,
    value_range: tuple[float, float] = (0, 255),
    true_color: tuple[int, int, int] = (0, 188, 212),
    pred_color: tuple[int, int, int] = (255, 235, 59),
    line_thickness: int = 2,
    font_scale: float = 1.0,
    text_thickness: int | None = None,
    class_mapping: Mapping[int, str] | None = None,
    ground_truth_mapping: Mapping[int, str] | None = None,
    prediction_mapping: Mapping[int, str] | None = None,
    legend: bool = False,
    legend_handles: Any = None,
    rows: int | None = None,
    cols: int | None = None,
    data_format: str | None = None,
    **kwargs: Any,
) -> Any:
    """The images with true and predicted boxes, drawn by `draw_bounding_boxes`, as `plot_image_gallery`.

    y_true, y_pred: dicts of boxes. ground_truth_mapping, prediction_mapping: names of the classes of each, by
    default `class_mapping`. legend: say which colour is which. kwargs: for `plot_image_gallery`.
    """
    if legend and legend_handles:
        raise ArgumentError("plot_bounding_box_gallery takes legend or legend_handles, not both.")
    pictures = checked_images(images, data_format)
    draw = partial(
        draw_bounding_boxes,
        bounding_box_format=bounding_box_format,
        line_thickness=line_thickness,
        text_thickness=text_thickness or 1,
        font_scale=font_scale,
    )
    if y_true is not None:
        pictures = draw(
            pictures, y_true, color=true_color, class_mapping=ground_truth_mapping or class_mapping
        )
    if y_pred is not None:
        pictures = draw(pictures, y_pred, color=pred_color, class_mapping=prediction_mapping or class_mapping)
    if legend:
        legend_handles = _legend({"Ground Truth": true_color, "Prediction": pred_color})
    drawn = y_true is not None or y_pred is not None
    return plot_image_gallery(
        pictures,
        value_range=(0, 255) if drawn else value_range,
        legend_handles=legend_handles,
        rows=rows,
        cols=cols,
        **kwargs,
    )


def _legend(colors: Mapping[str, Sequence[int]]) -> list[Any]:
    try:
        from matplotlib.patches import Patch
    except ImportError as error:
        raise missing("matplotlib") from error
    return [Patch(color=f"#{bytes(color).hex()}", label=label) for label, color in colors.items()]


def plot_segmentation_mask_gallery(
    images: Any,
    num_classes: int,
    value_range: tuple[float, float] = (0, 255),
    y_true: Any = None,
    y_pred: Any = None,
    color_mapping: Mapping[int, Sequence[int]] | None = None,
    blend: bool = True,
    alpha: float = 0.8,
    ignore_index: int = -1,
    data_format: str | None = None,
    **kwargs: Any,
) -> Any:
    """Each image, beside it its true and its predicted mask, as `draw_segmentation_masks` colours them.

    y_true, y_pred: classes, (number, height, width, 1). kwargs: for `plot_image_gallery`.
    """
    pictures = checked_images(images, data_format)
    columns = [pictures.astype(np.float32)]
    for masks in (y_true, y_pred):
        if masks is not None:
            classes = np.asarray(masks).astype(np.int32)
            drawn = draw_segmentation_masks(
                pictures, classes, num_classes, color_mapping, alpha, blend, ignore_index
            )
            columns.append(drawn.astype(np.float32))
    together = np.stack(columns, axis=1).reshape(-1, *pictures.shape[1:])
    return plot_image_gallery(
        together, value_range=value_range, rows=len(pictures), cols=len(columns), **kwargs
    )
