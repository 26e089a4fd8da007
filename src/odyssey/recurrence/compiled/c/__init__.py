"""The plan as C: code generation, compilation, execution."""
