"""Engines of the compiled backend: C and its cache, the trial of an engine, Triton without GPU."""

from __future__ import annotations

import importlib.util
import logging
import multiprocessing
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import torch

from cell_cases import able, assert_same, inputs, make, results
from odyssey.cells import Cell
from odyssey.recurrence import choose, run
from odyssey.recurrence.compiled import dispatch, kernel_cache
from odyssey.recurrence.compiled.buffers import CannotCompile
from odyssey.recurrence.compiled.c import build, codegen
from odyssey.recurrence.compiled.c import engine as c_engine
from odyssey.recurrence.compiled.triton import engine as triton_engine

# -- C: the cache, machines without a compiler, functions, threads ---------------------------------


SOURCE = "int forward(void) { return 7; }\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("ODYSSEY_KERNELS", str(tmp_path))
    return tmp_path


def test_it_is_compiled_once(folder, monkeypatch):
    assert build.load(SOURCE).forward() == 7
    (made,) = folder.iterdir()
    assert made.suffix == ".so"

    def refuse(*_):
        raise AssertionError("compiled again")

    monkeypatch.setattr(build, "compile_library", refuse)
    assert build.load(SOURCE).forward() == 7
    with pytest.raises(AssertionError):  # another processor, on a shared home directory
        monkeypatch.setattr(build, "processor", lambda: "another")
        build.load(SOURCE)


def test_a_library_of_something_else_is_not_taken_from_the_cache(folder, monkeypatch):
    """The key has source, options and compiler in it."""
    source = "#ifndef N\n#define N 7\n#endif\nint forward(void) { return N; }\n"
    assert build.load(source).forward() == 7
    assert build.load(source.replace("7", "8")).forward() == 8
    with monkeypatch.context() as patch:
        patch.setattr(build, "FLAGS", (*build.FLAGS, "-DN=9"))
        assert build.load(source).forward() == 9
    monkeypatch.setenv("CC", "cc -DN=10")
    assert build.load(source).forward() == 10
    assert len(list(folder.glob("*.so"))) == len(list(folder.iterdir())) == 4


def test_the_source_of_a_cell_has_all_that_is_compiled(folder):
    header = Path(build.__file__).with_name("kernel.h").read_text()
    assert codegen.generate(dispatch.plan_of(make("mgu", 2, 3))).startswith(header)


def test_a_damaged_file_is_made_again(folder, monkeypatch):
    build.load(SOURCE)
    (made,) = folder.iterdir()
    monkeypatch.setenv("ODYSSEY_KERNELS", str(folder / "other"))
    (kernel_cache.cache_folder() / made.name).write_bytes(b"half a fi")
    assert build.load(SOURCE).forward() == 7


def _load(queue):
    queue.put(build.load(SOURCE).forward())


def test_several_processes_at_once(folder):
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    processes = [context.Process(target=_load, args=(queue,)) for _ in range(6)]
    for process in processes:
        process.start()
    assert [queue.get(timeout=60) for _ in processes] == [7] * 6
    for process in processes:
        process.join()
    assert len(list(folder.iterdir())) == 1


def test_a_folder_that_cannot_be_written_to(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ODYSSEY_KERNELS", str(tmp_path / "file" / "kernels"))
    assert build.load(SOURCE).forward() == 7


def test_source_that_is_refused(folder):
    with pytest.raises(CannotCompile, match="refuses the source.*error"):
        build.load("int forward(void) { return seven; }\n")
    assert not list(folder.iterdir())


def test_without_a_compiler_torch_runs_it_and_that_is_said_once(folder, monkeypatch, caplog):
    monkeypatch.setenv("CC", "no-such-compiler")
    dispatch.clear_cache()
    with caplog.at_level(logging.WARNING, logger="odyssey"):
        for _ in range(2):
            cell = make("mgu", 2, 3).float()
            x, state = inputs(cell, 3, 2)
            x, state = x.float(), tuple(v.float() for v in state)
            a, b = (results(cell, x, state, backend=k) for k in ("compiled", "reference"))
            assert_same(a, b, 1e-5)
    dispatch.clear_cache()
    (record,) = caplog.records
    assert "there is no C compiler (no-such-compiler)" in record.getMessage()


def _without_a_home(monkeypatch, tmp_path):
    for name in ("ODYSSEY_KERNELS", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))


def _open_to_all(monkeypatch, tmp_path):
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o777)
    monkeypatch.setenv("ODYSSEY_KERNELS", str(tmp_path / "shared"))


def _full(monkeypatch, tmp_path):
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    monkeypatch.setenv("ODYSSEY_KERNELS", str(tmp_path))
    whole = build.compile_library

    def compile_on_a_full_disk(compiler, source, path):
        if path.parent == tmp_path:
            with open("/dev/full", "w") as file:
                file.write(source)
        whole(compiler, source, path)

    monkeypatch.setattr(build, "compile_library", compile_on_a_full_disk)


@pytest.mark.parametrize("folder", [_without_a_home, _open_to_all, _full])
def test_where_nothing_can_be_kept_a_process_has_a_folder_of_its_own(folder, monkeypatch, tmp_path):
    folder(monkeypatch, tmp_path)
    assert build.load(SOURCE).forward() == 7
    assert not list(tmp_path.glob("**/*.so"))


@pytest.mark.parametrize(
    ("compiler", "says"),
    [("cc '", "CC=cc ' cannot be read"), ("false", "refuses the source"), ("true", "cannot be")],
)
def test_compilers_that_are_none(compiler, says, folder, monkeypatch):
    monkeypatch.setenv("CC", compiler)
    with pytest.raises(CannotCompile, match=says):
        build.load(SOURCE)


@pytest.mark.parametrize(
    ("function", "tolerance"),
    [(torch.tanh, 3e-7), (torch.sigmoid, 3e-7), (torch.exp, 3e-7)],
    ids=["tanh", "sigmoid", "exp"],
)
def test_functions_are_exact_to_some_digits_everywhere(function, tolerance):
    """Relative error, from the smallest to the largest numbers."""

    class One(Cell):
        gates = ("h",)
        lacks = {"h": "Rb"}

        def step(self, x, R, p, s):
            return (function(x.h),)

    cell = One(1, 1)
    torch.nn.init.ones_(cell.W)
    size = torch.logspace(-30, 1.9, 4001)
    x = torch.cat([size, -size, torch.linspace(-87, 88, 4001), torch.tensor([0.0])])
    got = run(cell, x.view(-1, 1, 1), backend="compiled")[0].flatten().double()
    want = function(x.double())
    # Below 1e-37 float32 itself has no more digits.
    assert ((got - want).abs() <= tolerance * want.abs() + 2e-38).all()
    edges = torch.tensor([float("inf"), -float("inf"), float("nan"), 200.0, -200.0])
    got = run(cell, edges.view(-1, 1, 1), backend="compiled")[0].flatten()
    torch.testing.assert_close(got, function(edges), equal_nan=True)


@pytest.mark.parametrize("name", ["lstm_peephole", "gru"])
@pytest.mark.parametrize("torchs_own", [True, False])
def test_threads_change_nothing_but_the_order_of_sums(name, torchs_own, monkeypatch):
    if not torchs_own:
        monkeypatch.setattr(c_engine, "openmp_entry", lambda: None)
    elif not torch.backends.openmp.is_available():
        pytest.skip("this torch has no OpenMP")
    else:
        assert c_engine.openmp_entry()
    cell = make(name, 8, 96).float()
    x, state = inputs(cell, 9, 17)
    x, state = x.float(), tuple(v.float() for v in state)
    lengths = torch.tensor([9, 1, *range(2, 9), *range(2, 9), 9])
    before = torch.get_num_threads()
    found = {}
    try:
        for threads in (1, 2, 2, 3):
            torch.set_num_threads(threads)
            got = results(cell, x, state, lengths, backend="compiled")
            if threads in found:
                assert all(torch.equal(got[k], found[threads][k]) for k in got)
            found[threads] = got
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[1]["outputs"], found[3]["outputs"])
    for threads in (2, 3):
        assert_same(found[threads], found[1], 2e-6)


def test_long_sequences():
    """In float64 to its precision; in float32 as near as the plain loop, up to a digit.

    The gradients of some cells that may be drawn lose four digits over so many steps, in the loop
    as in the kernels.
    """
    cell = make("lstm_peephole", 2, 3)
    x, state = inputs(cell, 2000, 3)
    want = results(cell, x, state, backend="reference")
    assert_same(results(cell, x, state, backend="compiled"), want)
    cell, x, state = cell.float(), x.float(), tuple(v.float() for v in state)
    got, loop = (results(cell, x, state, backend=b) for b in ("compiled", "reference"))
    off = [float((loop[k] - v).abs().max() / max(1, v.abs().max())) for k, v in want.items()]
    assert_same(got, {k: v.float() for k, v in want.items()}, max(1e-5, 10 * max(off)))


# -- the trial of kernels on a machine where nobody has run them -----------------------------------


CPU = torch.device("cpu")


class Spoiled(c_engine.CEngine):
    """Right, but for what `spoil` does to it."""

    def __init__(self, plan, spoil=lambda memory, adjoints: None):
        super().__init__(plan)
        self.spoil = spoil

    def forward(self, plan, memory):
        super().forward(plan, memory)
        self.spoil(memory, None)

    def backward(self, plan, memory, adjoints):
        super().backward(plan, memory, adjoints)
        self.spoil(memory, adjoints)


def wrong_states(memory, adjoints):
    if adjoints is None:
        memory.states[0][3:] *= 1.01


def wrong_sums(memory, adjoints):
    if adjoints is not None:
        adjoints.sums *= 1.01


def not_a_number(memory, adjoints):
    if adjoints is not None:
        adjoints.dgates[0, 0] = float("nan")


class Replayed:
    """Wrong from the third run on, as a recording can be."""

    def __init__(self):
        self.runs = 0

    def __call__(self, memory, adjoints):
        self.runs += adjoints is not None
        if self.runs == 3 and adjoints is not None:
            adjoints.dgates *= 1.01


def fails(memory, adjoints):
    raise RuntimeError("no such instruction\nand more")


@pytest.mark.parametrize("name", able("compiled"))
@pytest.mark.parametrize("sizes", [(3, 5), (7, 7)])
def test_good_kernels_pass(name, sizes):
    plan = dispatch.plan_of(make(name, *sizes))
    before = torch.get_rng_state()
    assert dispatch.trial_failure(plan, Spoiled(plan), *sizes, CPU) is None
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (wrong_states, "its kernels are wrong on cpu: the outputs is off by 0.01"),
        (wrong_sums, "its kernels are wrong on cpu: the gradient of b is off by 0.01"),
        (not_a_number, "its kernels are wrong on cpu: the gradient of x is off by"),
        (Replayed(), "its kernels are wrong on cpu: the gradient of x is off by 0.01"),
        (fails, "its kernels do not run on cpu: RuntimeError: no such instruction"),
    ],
)
def test_others_do_not(spoil, says):
    plan = dispatch.plan_of(make("lstm", 3, 5))
    why = dispatch.trial_failure(plan, Spoiled(plan, spoil), 3, 5, CPU)
    assert why is not None and why.startswith(says) and "\n" not in why


@pytest.mark.parametrize(("wrong", "chosen"), [(False, "compiled"), (True, "reference")])
def test_auto_goes_by_it(wrong, chosen, monkeypatch):
    """As on a GPU, of which there is only the name here: the kernels are those of the CPU."""
    loops = []

    def spoil(memory, adjoints):
        loops.append(adjoints)
        if wrong:
            wrong_sums(memory, adjoints)

    trial_failure = dispatch.trial_failure
    monkeypatch.setattr(dispatch, "build_engine", lambda plan, *_: Spoiled(plan, spoil))
    monkeypatch.setattr(dispatch, "trial_failure", lambda *given: trial_failure(*given[:-1], CPU))
    cell = make("mgu", 3, 5).float()
    assert [choose(cell, "auto", "cuda") for _ in range(3)] == [chosen] * 3
    assert len(loops) == 6  # forward and back three times, in one trial


# -- Triton: in its interpreter, and compiled for GPUs that are not here ---------------------------


needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="Triton is not installed"
)
TESTS = Path(__file__).parent


def version(package: str) -> tuple[int, ...]:
    return tuple(int(part) for part in metadata.version(package).split(".")[:2])


def script(tmp_path: Path, name: str, *words: str, **environment: str) -> str:
    """What a script beside this file printed; interpreted and compiled kernels cannot be mixed."""
    done = subprocess.run(
        [sys.executable, str(TESTS / name), *words],
        env=os.environ | {"TRITON_CACHE_DIR": str(tmp_path)} | environment,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_generated_source_is_imported_from_the_cache_and_written_again_if_it_is_damaged(folder):
    assert triton_engine.load_module("x = 7\n").x == 7
    (path,) = folder.glob("*.py")
    for content in ("x = 7\n", "x ="):
        path.write_text(content)
        triton_engine.load_module.cache_clear()
        assert triton_engine.load_module("x = 7\n").x == 7
    assert path.read_text() == "x = 7\n"
    assert triton_engine.load_module("x = 8\n").x == 8


@needs_triton
@pytest.mark.parametrize(
    ("words", "checked"),
    [
        pytest.param(("cells", "0", "2"), 12, marks=pytest.mark.slow),
        pytest.param(("cells", "1", "2"), 11, marks=pytest.mark.slow),
        (("drawn", "0", "3"), 3),  # random cells
        pytest.param(("drawn", "3", "12"), 9, marks=pytest.mark.slow),
        pytest.param(
            ("others",), 16, marks=pytest.mark.slow
        ),  # precisions, models in one launch, functions, NaN, no steps
    ],
    ids=str,
)
def test_numbers_in_the_interpreter(words, checked, tmp_path, seed):
    if version("triton") < (3, 7) and version("numpy") >= (2, 4):
        pytest.skip(
            "the interpreter of Triton 3.6 makes numbers of arrays, which NumPy 2.4 refuses"
        )
    out = script(tmp_path, "triton_kit.py", str(seed), *words, TRITON_INTERPRET="1")
    assert out.splitlines()[-1] == f"{checked} checked"


@pytest.mark.slow
@needs_triton
def test_kernels_compile_for_gpus(tmp_path):
    """Both forms down to machine code for an A100 and an H100, with the shared memory they have."""
    out = script(tmp_path, "triton_compile.py", "lstm_peephole,gru", TRITON_DEFAULT_FP_FUSION="1")
    assert out.splitlines()[-1] == "19 kernels compiled"
