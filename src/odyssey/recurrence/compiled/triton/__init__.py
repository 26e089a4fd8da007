"""The engine for float32 on a GPU: `codegen` prints Triton kernels, `engine` launches them."""
