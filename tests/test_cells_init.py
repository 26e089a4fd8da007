"""How cells start, and which declarations are refused."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
import torch
from torch import Tensor

from odyssey.cells import CELLS, GRU, LSTM, Cell, GRUResetAfter, Init, LayerNormLSTM, PeepholeLSTM
from odyssey.cells.init import KINDS


def parts(cell: Cell, letter: str) -> dict[str, Tensor]:
    """Each name's share of a parameter; none where the cell does not have that parameter."""
    if getattr(cell, letter) is None:
        return {}
    return {name: cell.part(letter, name).detach() for name in cell.rows[letter]}


def two_starts(name: str, X: int, H: int, **options: Any) -> tuple[Cell, Cell]:
    """The same cell from one seed, without and with `options`."""
    seed = random.randrange(2**31)
    torch.manual_seed(seed)
    plain = CELLS[name](X, H, init=Init(bias="normal"))
    torch.manual_seed(seed)
    return plain, CELLS[name](X, H, init=Init(bias="normal"), **options)


@pytest.mark.parametrize("name", [n for n, c in CELLS.items() if c.forget_gate])
def test_forget_bias_sets_the_forget_gate_alone(name: str) -> None:
    for value in (1.0, 0.0, -2.5):
        plain, biased = two_starts(name, 5, 7, forget_bias=value)
        forget = plain.forget_gate
        letter = "p" if forget in plain.vectors else "b"
        for k in "WRbpP":
            for part, weight in parts(biased, k).items():
                if (k, part) == (letter, forget):
                    assert torch.equal(weight, torch.full((7,), value))
                else:
                    assert torch.equal(weight, plain.part(k, part)), (k, part)


@pytest.mark.parametrize("name", [n for n, c in CELLS.items() if not c.forget_gate])
def test_forget_bias_is_refused_without_a_forget_gate(name: str) -> None:
    cls = CELLS[name]
    with pytest.raises(ValueError, match=f"{cls.__name__} has no forget gate"):
        cls(3, 4, forget_bias=1.0)


@pytest.mark.parametrize("name", [n for n, c in CELLS.items() if c.forget_gate])
def test_a_large_forget_bias_remembers(name: str) -> None:
    """The sign: with it the state stays, with its opposite it goes."""
    cls = CELLS[name]
    small = Init(input="zeros", recurrent="zeros", vector="zeros")
    kept = {}
    for bias in (40.0, -40.0):
        cell = cls(2, 3, init=small, forget_bias=bias, dtype=torch.float64)
        x = torch.zeros(1, 2, dtype=torch.float64)
        before = cell.State(*(torch.full((1, 3), 0.7, dtype=torch.float64) for _ in cell.state))

        def R(v: Tensor) -> Tensor:
            return torch.zeros_like(v)

        class Zero:
            def __getattr__(self, name: str) -> Any:
                return R

        after = cell.State(*_tuple(cell.step(cell.project(x), Zero(), cell.peeps(), before)))
        kept[bias] = (after.c if "c" in cell.state else after.h).detach()
    torch.testing.assert_close(kept[40.0], torch.full((1, 3), 0.7, dtype=torch.float64))
    torch.testing.assert_close(kept[-40.0], torch.zeros(1, 3, dtype=torch.float64))


def _tuple(out: Any) -> tuple[Tensor, ...]:
    return (out,) if isinstance(out, Tensor) else out


@pytest.mark.parametrize("name", CELLS)
def test_orthogonal(name: str) -> None:
    H = random.randint(2, 20)
    cell = CELLS[name](H + 3, H, init=Init(recurrent="orthogonal", input="orthogonal"))
    for letter in "RW":
        for Q in parts(cell, letter).values():
            torch.testing.assert_close(Q @ Q.T, torch.eye(H), atol=1e-5, rtol=0)
    scaled = CELLS[name](3, H, init=Init(recurrent="orthogonal", recurrent_scale=0.5))
    for Q in parts(scaled, "R").values():
        torch.testing.assert_close(Q @ Q.T, 0.25 * torch.eye(H), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", CELLS)
def test_identity(name: str) -> None:
    H = random.randint(2, 20)
    cell = CELLS[name](H + 2, H, init=Init(recurrent="identity", input="identity"))
    for weight in parts(cell, "R").values():
        assert torch.equal(weight, torch.eye(H))
    for weight in parts(cell, "W").values():
        assert torch.equal(weight, torch.eye(H, H + 2))
    scaled = CELLS[name](3, H, init=Init(recurrent="identity", recurrent_scale=0.01))
    for weight in parts(scaled, "R").values():
        assert torch.equal(weight, 0.01 * torch.eye(H))


@pytest.mark.parametrize("name", CELLS)
def test_uniform_normal_and_zeros(name: str) -> None:
    X, H = 61, 67  # enough draws for a standard deviation within 10 %
    drawn = {"W": "input", "R": "recurrent"}
    cell = CELLS[name](X, H, init=Init())
    for letter in drawn:
        for weight in parts(cell, letter).values():
            bound = 1 / math.sqrt(H)
            assert weight.abs().max() <= bound
            assert weight.max() > 0.95 * bound and weight.min() < -0.95 * bound
    for scale, sigma in ((None, 1 / math.sqrt(H)), (0.1, 0.1)):
        init = Init("normal", scale, "normal", scale, "normal", scale, "normal", scale)
        cell = CELLS[name](X, H, init=init)
        for letter in drawn:
            for weight in parts(cell, letter).values():
                assert 0.9 < weight.std() / sigma < 1.1
                assert abs(weight.mean()) < 0.1 * sigma
        for letter in "bp":
            for part, weight in parts(cell, letter).items():
                if part not in cell.ones:
                    assert 0.5 < weight.std() / sigma < 1.6
    cell = CELLS[name](X, H, init=Init(input="zeros", recurrent="zeros", vector="zeros"))
    for letter in "WRbpP":
        for part, weight in parts(cell, letter).items():
            assert (weight == (1.0 if letter == "p" and part in cell.ones else 0.0)).all()


@pytest.mark.parametrize("kind", ["uniform", "normal", "orthogonal"])
@pytest.mark.parametrize("name", CELLS)
def test_gates_are_drawn_independently(name: str, kind: str) -> None:
    cell = CELLS[name](8, 8, init=Init(input=kind, recurrent=kind))
    drawn = [weight for letter in "WR" for weight in parts(cell, letter).values()]
    for i, one in enumerate(drawn):
        for other in drawn[:i]:
            assert not torch.isclose(one, other).any(1).all()
            correlation = torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1]
            assert abs(correlation) < 0.7  # 64 draws: five standard deviations
    before = [weight.clone() for weight in drawn]
    cell.reset_parameters()
    assert not any(torch.equal(a, b) for a, b in zip(before, drawn, strict=True))


def test_extra_biases_start_as_biases_and_gains_at_one() -> None:
    init = Init(vector="uniform", bias="zeros")
    assert (GRUResetAfter(3, 5, init=init).part("p", "b_Rn") == 0).all()
    assert (PeepholeLSTM(3, 5, init=init).p != 0).any()
    norm = LayerNormLSTM(3, 5, init=Init(bias="normal"))
    for name in norm.vectors:
        assert (norm.part("p", name) == 1).all() == name.startswith("g_")


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="no initializer is called 'xavier'"):
        LSTM(3, 5, init=Init(recurrent="xavier"))
    assert "orthogonal" in KINDS["recurrent"] and "orthogonal" not in KINDS["bias"]


@pytest.mark.parametrize(
    ("declared", "says"),
    [
        ({"gates": "h"}, "must be a tuple"),
        ({"state": ()}, "state is empty"),
        ({"gates": ("h", "h")}, "gates names something twice"),
        ({"gates": ("if",)}, "'if', which cannot be used as a name"),
        ({"gates": ("h",), "vectors": ("2p",)}, "'2p', which cannot be used as a name"),
        ({"gates": ("_h",)}, "'_h', which cannot be used as a name"),
        ({"gates": ("h",), "recurrent": ("h",)}, "recurrent or bare is also a gate"),
        ({"gates": ("h",), "bare": ("h",)}, "recurrent or bare is also a gate"),
        ({"gates": ("h",), "lacks": {"f": "W"}}, "must map a gate to letters of W, R, b"),
        ({"gates": ("h",), "lacks": {"h": "U"}}, "must map a gate to letters of W, R, b"),
        ({"gates": ("h",), "ones": ("g",)}, "must be among vectors"),
        ({"gates": ("h",), "biases": ("g",)}, "must be among vectors"),
        ({"vectors": ("g",), "ones": ("g",), "biases": ("g",)}, "in both ones and biases"),
        ({"gates": ("h",), "forget_gate": "f"}, "forget_gate = 'f' is not a gate with a bias"),
        ({"gates": ("h",), "lacks": {"h": "b"}, "forget_gate": "h"}, "not a gate with a bias"),
        ({"vectors": ("p_f",), "forget_gate": "p_f"}, "not a gate with a bias"),
    ],
)
def test_wrong_declarations_are_refused(declared: dict[str, Any], says: str) -> None:
    with pytest.raises(TypeError, match=says) as caught:
        type("Wrong", (Cell,), declared)
    assert str(caught.value).startswith("Wrong: ")


@pytest.mark.parametrize(
    ("declared", "step", "says"),
    [
        ({"gates": ("h",)}, None, "Wrong must define step"),
        ({}, lambda self, x, R, p, s: (s.h,), "Wrong has no weights"),
        ({"gates": ("h",)}, lambda self, x, R, p, s: (x.h,), "Wrong.step never uses R.h"),
        (
            {"gates": ("h",)},
            lambda self, x, R, p, s: (x.h + R.h(s.h), s.h),
            "Wrong.step returns 2 values, but its state is h",
        ),
        (
            {"gates": ("h",)},
            lambda self, x, R, p, s: (x.h + R.h(s.h) + R.h(x.h),),
            "Wrong.step applies R.h to two different operands",
        ),
        (
            {"gates": ("h",), "state": ("h", "c")},
            lambda self, x, R, p, s: (x.h + R.h(s.h), R.h(s.c)),
            "Wrong.step applies R.h to two different operands",
        ),
        ({"gates": ("h",)}, lambda self, x, R, p, s: (x.h + R.q(s.h),), "Wrong.step uses .q"),
        ({"gates": ("h",)}, lambda self, x, R, p, s: (x.q + R.h(s.h),), "Wrong.step uses .q"),
        ({"gates": ("h",)}, lambda self, x, R, p, s: (p.q * R.h(s.h),), "Wrong.step uses .q"),
        ({"gates": ("h",)}, lambda self, x, R, p, s: (x.h + R.h(s.c),), "Wrong.step uses .c"),
    ],
)
def test_a_step_that_does_not_fit_is_refused(
    declared: dict[str, Any], step: Any, says: str
) -> None:
    cls = type("Wrong", (Cell,), declared | ({"step": step} if step else {}))
    with pytest.raises((TypeError, ValueError), match=says):
        cls(3, 5)


def test_parts_are_views_in_storage_order() -> None:
    cell = GRU(3, 5)
    with torch.no_grad():
        cell.part("R", "z").fill_(9.0)
    assert (cell.R[5:10] == 9.0).all() and (cell.R[:5] != 9.0).all() and (cell.R[10:] != 9.0).all()
    vanilla = PeepholeLSTM(3, 5)
    assert torch.equal(vanilla.part("p", "p_o"), vanilla.p[2])
