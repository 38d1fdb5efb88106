"""Export of the bundled networks as ONNX graphs."""
