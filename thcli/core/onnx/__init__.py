"""Networks that run by onnxruntime, without torch."""
