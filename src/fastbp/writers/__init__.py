"""Networks in other formats, written. The methods `to_torch`, `to_onnx` and `to_c` of a model call them."""
