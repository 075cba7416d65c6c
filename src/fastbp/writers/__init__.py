"""Writers of other formats, behind the methods `to_torch`, `to_onnx` and `to_c` of a model."""
