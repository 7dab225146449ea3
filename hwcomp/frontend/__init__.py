"""ONNX files to graphs. Every attribute is consumed or rejected by name."""
