"""The engine for float32 on the CPU: `codegen` prints C, `build` compiles it, `engine` calls it."""
