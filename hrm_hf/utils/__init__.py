"""What needs nothing of the project: files, threads, CUDA graphs, the environment, statistics."""
