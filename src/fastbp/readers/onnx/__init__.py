"""ONNX files, read."""
