"""Models as files of other formats: ONNX, for prediction elsewhere."""

from lamina.export.onnx_files import export_onnx

__all__ = ["export_onnx"]
