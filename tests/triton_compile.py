"""Compiles generated kernels for GPUs that need not be here, and prints what each takes.

`python triton_compile.py lstm_peephole,gru [SIZE:PRECISION:ARCHITECTURE,…]`
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

import random_kit
from cell_cases import make
from odyssey.recurrence.compiled.schedule import make_plan
from odyssey.recurrence.compiled.triton import engine as triton_engine
from odyssey.recurrence.compiled.triton.codegen import generate
from odyssey.recurrence.compiled.triton.engine import load_module

SHARED = {75: 64, 80: 163, 86: 99, 90: 227}  # KB that a program may have
CASES = "100:ieee:80,128:tf32:90,128:bf16:90"


def compiled(kernel, precision: str, architecture: int, constants, **options):
    """One kernel, as the engine would launch it."""
    signature, aligned = {}, {}
    for k, name in enumerate(kernel.arg_names):
        kind = "*fp32"
        if name in constants:
            kind = "constexpr"
        elif name in ("t", "T", "B", "truncation"):
            kind = "i32"
        elif name == "lengths":
            kind = "*i64"
        elif name.startswith("weights_") and precision == "bf16":
            kind = "*bf16"
        signature[name] = kind
        if kind[0] == "*":
            aligned[(k,)] = [["tt.divisibility", 16]]
    made = triton.compile(
        ASTSource(kernel, signature, constants, aligned),
        target=GPUTarget("cuda", architecture, 32),
        options=options,
    )
    assert made.metadata.shared <= SHARED[architecture] * 1024, made.metadata.shared
    return made


def usage(made) -> str:
    """Registers and spills (STACK) of a thread, by the tool that comes with Triton."""
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(made.asm["cubin"])
        file.flush()
        command = [str(tool), "-res-usage", file.name]
        out = subprocess.run(command, capture_output=True, text=True).stdout
    found = re.search(r"REG:\d+ STACK:\d+", out)
    return f"{found.group() if found else ''} shared {made.metadata.shared}"


def main(names: str, cases: str = CASES) -> None:
    count = 0
    for name in names.split(","):
        plan = make_plan(make(name, 3, 3))
        kernels = load_module(generate(plan))
        for case in cases.split(","):
            hidden, precision, architecture = case.split(":")
            H, sm = int(hidden), int(architecture)
            size = triton_engine.tiles(plan, H, 64, precision, SHARED[sm] * 1024)
            if triton_engine.weight_bytes(plan, size.units, precision) > triton_engine.ON_CHIP:
                print(name, case, "is run step by step")
                continue
            constants = {
                "H": H,
                "ROWS": size.rows,
                "UNITS": size.units,
                "DEPTH": size.depth,
                "RESIDENT": size.resident,
                "PRECISION": precision,
                "LENGTHS": sm == 80,
            }
            options = {"num_warps": size.warps, "num_stages": size.stages}
            for loop in ("forward_loop", "backward_loop"):
                made = compiled(getattr(kernels, loop), precision, sm, constants, **options)
                print(name, case, loop, size, usage(made), flush=True)
                count += 1
        constants = {"H": 1000, "ROWS": 4, "UNITS": 128, "LENGTHS": True}
        for step in (key for key in vars(kernels) if "_step_" in key):
            made = compiled(getattr(kernels, step), "ieee", 90, constants, num_warps=4)
            print(name, step, usage(made), flush=True)
            count += 1
    print(f"{count} kernels compiled")


if __name__ == "__main__":
    random_kit.set_seed(0)  # of the cells' weights, which no kernel depends on
    main(*sys.argv[1:])
