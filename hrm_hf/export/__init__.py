"""Models for clients without PyTorch: ONNX graphs, and a manifest that says everything else."""
