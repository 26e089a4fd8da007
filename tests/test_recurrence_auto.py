"""`model.backend=auto`: the fastest that there is, and it says which."""

from __future__ import annotations

import logging

import pytest
import torch

from cell_cases import NAMES, able, inputs, make
from odyssey.cells import CELLS
from odyssey.nn.stack import Stack
from odyssey.recurrence import choose, run
from odyssey.recurrence.compiled import cpu, engines

CPU = torch.device("cpu")


@pytest.fixture
def no_compiler(monkeypatch, tmp_path):
    monkeypatch.setenv("CC", "no-such-compiler")
    monkeypatch.setenv("ODYSSEY_KERNELS", str(tmp_path))
    cpu._loaded.cache_clear()
    yield
    cpu._loaded.cache_clear()


@pytest.mark.parametrize("name", NAMES)
def test_in_single_precision_it_takes_the_cells_own_kernels(name):
    cell = make(name, 3, 5).float()
    chosen = choose(cell, "auto")
    assert chosen == ("compiled" if name in able("compiled") else "reference")
    x, state = inputs(cell, 7, 4)
    x, state = x.float(), tuple(v.float() for v in state)
    a, b = (run(cell, x, state, backend=k)[0] for k in ("auto", chosen))
    assert torch.equal(a, b)


@pytest.mark.parametrize("name", NAMES)
def test_in_double_precision_it_takes_torchs_kernels_or_the_loop(name):
    cell = make(name, 3, 5)
    chosen = choose(cell, "auto", "cpu", torch.float64)
    assert chosen == ("library" if name in able("library") else "reference")
    x, state = inputs(cell, 7, 4)
    a, b = (run(cell, x, state, backend=k)[0] for k in ("auto", chosen))
    assert torch.equal(a, b)


@pytest.mark.parametrize(("name", "chosen"), [("lstm", "library"), ("mgu", "reference")])
def test_without_a_compiler(name, chosen, no_compiler):
    assert choose(make(name, 2, 3).float(), "auto") == chosen


def test_a_models_backend_follows_its_weights():
    stack = Stack(CELLS["lstm"], 3, 5)
    assert stack.chosen(CPU) == "compiled"
    assert stack.double().chosen(CPU) == "library"


def test_a_model_knows_why_it_has_only_the_plain_loop(no_compiler):
    assert (
        Stack(CELLS["lstm_layernorm"], 3, 5).why_plain(CPU) == "its step asks for .shape of a value"
    )
    assert Stack(CELLS["lstm_layernorm"], 3, 5, backend="reference").why_plain(CPU) is None
    assert Stack(CELLS["mgu"], 3, 5).why_plain(CPU) is None  # which a warning of its own says


def test_a_batch_of_nothing():
    for backend in ("reference", "compiled"):
        x, lengths = torch.zeros(4, 0, 3), torch.zeros(0, dtype=torch.int64)
        outputs, _ = run(make("lstm", 3, 5).float(), x, None, lengths, backend=backend)
        assert outputs.shape == (4, 0, 5)


def says(caplog, cell, dtype, times=3):
    with caplog.at_level(logging.INFO, logger="odyssey"):
        for _ in range(times):
            run(cell.to(dtype), torch.zeros(2, 1, 2, dtype=dtype))
    name = type(cell).__name__
    return [r.getMessage() for r in caplog.records if name in r.getMessage()]


def test_it_says_what_it_took_once_for_each_kind(caplog):
    class Once(CELLS["mgu"]):
        pass

    class Layered(CELLS["lstm_layernorm"]):
        pass

    class Other(CELLS["mgu"]):
        pass

    begin = "model.backend=auto runs"
    assert says(caplog, Once(2, 3), torch.float32) == [f"{begin} Once on the backend compiled"]
    (line,) = says(caplog, Layered(2, 3), torch.float32)
    assert line.startswith(f"{begin} Layered on the backend reference, because its step ")
    assert says(caplog, Other(2, 3), torch.float64) == [
        f"{begin} Other on the backend reference, because there are no kernels for float64 on cpu"
    ]


def test_without_a_compiler_it_says_what_to_install(caplog, no_compiler):
    engines._said.clear()
    with caplog.at_level(logging.WARNING, logger="odyssey"):
        for name in ("mgu", "lstm", "mgu"):
            run(make(name, 2, 3).float(), torch.zeros(2, 1, 2))
    (record,) = caplog.records
    assert "because there is no C compiler (no-such-compiler); install" in record.getMessage()
