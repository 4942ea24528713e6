"""Images with boxes around what was found in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lamina.core.errors import ArgumentError, unknown_name
from lamina.visualization.images import as_bytes, checked_images, missing

# How a format's four numbers become left, top, right, bottom; "rel_" in front: as fractions of the image.
_CORNERS: dict[str, Any] = {
    "xyxy": lambda a, b, c, d: (a, b, c, d),
    "yxyx": lambda a, b, c, d: (b, a, d, c),
    "xywh": lambda a, b, c, d: (a, b, a + c, b + d),
    "center_xywh": lambda a, b, c, d: (a - c / 2, b - d / 2, a + c / 2, b + d / 2),
    "center_yxhw": lambda a, b, c, d: (b - d / 2, a - c / 2, b + d / 2, a + c / 2),
}


def corners(boxes: Any, box_format: str, height: int, width: int) -> np.ndarray[Any, Any]:
    """Boxes (..., 4) as left, top, right, bottom in pixels. ArgumentError for an unknown format."""
    kind = box_format.lower().removeprefix("rel_")
    if kind not in _CORNERS:
        raise unknown_name("format of boxes", box_format, [*_CORNERS, *(f"rel_{name}" for name in _CORNERS)])
    found = np.stack(_CORNERS[kind](*np.moveaxis(np.asarray(boxes, np.float32), -1, 0)), axis=-1)
    relative = box_format.lower().startswith("rel_")
    return found * np.array([width, height, width, height], np.float32) if relative else found


def draw_bounding_boxes(
    images: Any,
    bounding_boxes: Any,
    bounding_box_format: str,
    class_mapping: Mapping[int, str] | None = None,
    color: tuple[int, int, int] = (128, 128, 128),
    line_thickness: int = 2,
    text_thickness: int = 1,
    font_scale: float = 1.0,
    data_format: str | None = None,
) -> np.ndarray[Any, Any]:
    """The images as uint8, with a frame around each box, and its class above it. Needs Pillow.

    images: (number, height, width, 3). bounding_boxes: {"boxes": (number, boxes, 4), "labels": (number,
    boxes)} and perhaps "confidences"; boxes of class -1 are none. bounding_box_format: "xyxy", "yxyx",
    "xywh", "center_xywh", "center_yxhw", or these with "rel_" for fractions. class_mapping: class to name;
    classes without one have a frame only. color: of frames and names. line_thickness: of frames, in pixels.
    text_thickness: of strokes of the names. font_scale: 1 is a font of about 12 pixels.
    """
    pictures = as_bytes(checked_images(images, data_format))
    if not isinstance(bounding_boxes, Mapping) or not {"boxes", "labels"} <= bounding_boxes.keys():
        raise ArgumentError("bounding_boxes must be a dict with 'boxes' and 'labels'.")
    frames = corners(bounding_boxes["boxes"], bounding_box_format, *pictures.shape[1:3])
    labels = np.asarray(bounding_boxes["labels"]).astype(int)
    confidences = bounding_boxes.get("confidences")
    drawn = []
    for number, picture in enumerate(pictures):
        texts = [
            _text(label, class_mapping or {}, None if confidences is None else confidences[number][position])
            for position, label in enumerate(labels[number])
        ]
        wanted = [place for place, label in enumerate(labels[number]) if label != -1]
        chosen = [(frames[number][place].astype(int), texts[place]) for place in wanted]
        drawn.append(_draw(picture, chosen, color, line_thickness, text_thickness, font_scale))
    return np.stack(drawn)


def _text(label: int, names: Mapping[int, str], confidence: Any) -> str:
    name = names.get(int(label), "")
    return name if confidence is None or not name else f"{name} | {float(confidence):.2f}"


def _draw(
    picture: np.ndarray[Any, Any],
    frames: list[tuple[np.ndarray[Any, Any], str]],
    color: tuple[int, int, int],
    line_thickness: int,
    text_thickness: int,
    font_scale: float,
) -> np.ndarray[Any, Any]:
    try:
        from PIL import Image, ImageDraw, ImageFont
    except ImportError as error:
        raise missing("Pillow") from error
    canvas = Image.fromarray(picture)
    pen = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(12 * font_scale)
    for (left, top, right, bottom), text in frames:
        edges = (min(left, right), min(top, bottom), max(left, right), max(top, bottom))
        pen.rectangle(tuple(map(int, edges)), outline=tuple(color), width=line_thickness)
        if text:
            above = int(top) - 14 * font_scale
            place = (int(left), above if above >= 0 else int(top) + line_thickness)
            pen.text(place, text, fill=tuple(color), font=font, stroke_width=text_thickness - 1)
    return np.asarray(canvas)
