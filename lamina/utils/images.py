"""Images in files and in arrays, with the names of keras.utils. Reading and writing files needs Pillow."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lamina import ops
from lamina.core import dtypes
from lamina.core.errors import ArgumentError, DataError, ShapeError

if TYPE_CHECKING:
    from PIL.Image import Image

Array = np.ndarray[Any, Any]

_MODES = {"grayscale": "L", "rgb": "RGB", "rgba": "RGBA"}
_RESAMPLINGS = ("nearest", "bilinear", "bicubic", "hamming", "box", "lanczos")


def pillow() -> Any:
    """The module PIL.Image; ImportError, saying what to install, where there is none."""
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError("Images in files need Pillow: pip install 'lamina[images]'.") from error
    return Image


def load_img(
    path: Any,
    color_mode: str = "rgb",
    target_size: Sequence[int] | None = None,
    interpolation: str = "nearest",
    keep_aspect_ratio: bool = False,
) -> Image:
    """The image in a file, as Pillow has it.

    path: of the file, or an open io.BytesIO. color_mode: "grayscale", "rgb" or "rgba". target_size:
    (height, width) to resize to. interpolation: "nearest", "bilinear", "bicubic", "hamming", "box" or
    "lanczos". keep_aspect_ratio: cut the middle out first, so that nothing is distorted.
    Raises DataError, naming the file, when it is no image or damaged.

    >>> img_to_array(load_img("cat.png", target_size=(64, 64))).shape
    (64, 64, 3)
    """
    mode = _one_of("color_mode", color_mode, tuple(_MODES))
    method = _one_of("interpolation", interpolation, _RESAMPLINGS)
    module = pillow()
    try:
        content = path if isinstance(path, io.BytesIO) else io.BytesIO(Path(os.fsdecode(path)).read_bytes())
        with module.open(content) as opened:
            opened.load()
            deep_grey = mode == "grayscale" and opened.mode in ("I;16", "I")  # kept as it is, as Keras does
            image = opened.copy() if deep_grey else opened.convert(_MODES[mode])
    except FileNotFoundError:
        raise
    except (OSError, SyntaxError, ValueError, module.DecompressionBombError) as error:
        raise DataError(
            f"{path} cannot be read as an image.", got=f"{error}", fix="replace the file, or leave it out."
        ) from error
    return image if target_size is None else _resized(image, target_size, method, keep_aspect_ratio)


def _resized(image: Image, target_size: Sequence[int], method: str, keep_aspect_ratio: bool) -> Image:
    height, width = target_size
    resampling = getattr(pillow().Resampling, method.upper())
    if image.size == (width, height):
        return image
    if not keep_aspect_ratio:
        return image.resize((width, height), resampling)
    kept_width = min(image.width, image.height * width // height)
    kept_height = min(image.height, image.width * height // width)
    left, top = (image.width - kept_width) // 2, (image.height - kept_height) // 2
    box = (left, top, left + kept_width, top + kept_height)
    return image.resize((width, height), resampling, box=box)


def img_to_array(img: Any, data_format: str | None = None, dtype: Any = None) -> Array:
    """An image of Pillow as an array (height, width, channels), of floats unless `dtype` says otherwise."""
    _only_channels_last(data_format)
    array = np.asarray(img, dtype=dtypes.to_numpy(dtypes.standardize(dtype)))
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3:
        raise ShapeError("img_to_array() takes one image.", got=f"shape {array.shape}")
    return array


def array_to_img(x: Any, data_format: str | None = None, scale: bool = True, dtype: Any = None) -> Image:
    """An array (height, width, channels) as an image of Pillow; 1, 3 or 4 channels.

    scale: stretch the values from 0 to 255. Raises ShapeError for anything but one image.
    """
    _only_channels_last(data_format)
    array = np.asarray(x, dtype=dtypes.to_numpy(dtypes.standardize(dtype)))
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4):
        raise ShapeError(
            "array_to_img() takes one image.",
            expected="(height, width, channels) with 1, 3 or 4 channels",
            got=f"shape {array.shape}",
        )
    if scale:
        array = array - array.min()
        highest = array.max()
        array = array * (255 / highest if highest else 1)
    if array.shape[2] == 1:
        deep = array.max() > 255
        return pillow().fromarray(array[..., 0].astype("int32" if deep else "uint8"))  # type: ignore[no-any-return]
    return pillow().fromarray(array.astype("uint8"))  # type: ignore[no-any-return]


def save_img(
    path: Any,
    x: Any,
    data_format: str | None = None,
    file_format: str | None = None,
    scale: bool = True,
    **kwargs: Any,
) -> None:
    """Write an array (height, width, channels) to an image file; its format follows from the path.

    file_format: "png", "jpeg", ... where the path does not say it. scale: as in `array_to_img`. Further
    arguments go to Pillow's `save`.

    >>> save_img("noise.png", np.random.rand(64, 64, 3))
    """
    if file_format is None and isinstance(path, (str, os.PathLike)):
        file_format = Path(path).suffix[1:].lower()
    file_format = "jpeg" if file_format and file_format.lower() == "jpg" else file_format
    image = array_to_img(x, data_format=data_format, scale=scale)
    if image.mode == "RGBA" and file_format == "jpeg":
        warnings.warn("JPEG has no transparency: the image is saved as RGB.", stacklevel=2)
        image = image.convert("RGB")
    image.save(path, format=file_format, **kwargs)


def smart_resize(
    x: Any, size: Sequence[int], interpolation: str = "bilinear", data_format: str = "channels_last"
) -> Any:
    """An image, or a batch, resized to (height, width) without distortion: what does not fit is cut off.

    >>> smart_resize(np.ones((40, 60, 3)), (20, 20)).shape
    (20, 20, 3)
    """
    _only_channels_last(data_format)
    array = ops.convert_to_tensor(x)
    if len(array.shape) not in (3, 4) or len(size) != 2:
        raise ShapeError(
            "smart_resize() takes an image or a batch of them, and (height, width).",
            got=f"shape {tuple(array.shape)}, size {tuple(size)}",
        )
    return ops.image.resize(array, tuple(size), interpolation=interpolation, crop_to_aspect_ratio=True)


def _only_channels_last(data_format: str | None) -> None:
    if data_format not in (None, "channels_last"):
        raise ArgumentError(
            f"Images are channels-last here, got data_format={data_format!r}.",
            fix="transpose the array: np.moveaxis(x, 0, -1).",
        )


def _one_of(argument: str, value: Any, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise ArgumentError(
            f"There is no {argument}={value!r}.", expected="one of " + ", ".join(map(repr, allowed))
        )
    return str(value)
