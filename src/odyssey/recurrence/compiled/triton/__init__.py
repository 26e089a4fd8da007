"""The plan as Triton: code generation, execution on a GPU, CUDA graphs."""
