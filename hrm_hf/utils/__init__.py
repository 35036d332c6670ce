"""Tools that do not depend on the rest of the project: files, threads, CUDA graphs, environment, statistics."""
