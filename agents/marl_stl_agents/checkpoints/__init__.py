"""What a training saves and loads: weights, trainer state, ONNX."""
