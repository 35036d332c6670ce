"""Models for clients without PyTorch: ONNX graphs, and a manifest with everything else."""
