"""What the cells declare: names, configuration files, documentation, and the user's own."""

from __future__ import annotations

import importlib
import inspect
import random
import re
import sys
from pathlib import Path

import pytest
import torch
import yaml

import odyssey.cells
from odyssey import registry
from odyssey.cells import CELLS, FGR, GRU, LSTM, MUT3, Cell, Elman, Jordan, LayerNormLSTM
from odyssey.recurrence import run

ROOT = Path(__file__).parents[1]
SIZES = [(1, 1), (1, 7), (7, 1), (5, 5), *((random.randint(2, 40),) * 2 for _ in range(2))] + [
    (random.randint(2, 40), random.randint(2, 40)) for _ in range(4)
]

# Written down from the papers' tables and equations: full gates, then what is more or less.
COUNTS = {
    "rnn": lambda X, H: X * H + H * H + H,
    "elman_relu": lambda X, H: X * H + H * H + H,
    "irnn": lambda X, H: X * H + H * H + H,
    "jordan": lambda X, H: (X * H + H * H + H) + (H * H + H),
    "gru_simple": lambda X, H: 2 * (X * H + H * H + H),
    "gru": lambda X, H: 3 * (X * H + H * H + H),
    "gru_reset_after": lambda X, H: 3 * (X * H + H * H + H) + H,
    "lstm": lambda X, H: 4 * (X * H + H * H + H),
    "lstm_peephole": lambda X, H: 4 * (X * H + H * H + H) + 3 * H,
    "lstm_layernorm": lambda X, H: 4 * (X * H + H * H) + 5 * 4 * H + 2 * H,
    "nig": lambda X, H: 3 * (X * H + H * H + H) + 2 * H,
    "nfg": lambda X, H: 3 * (X * H + H * H + H) + 2 * H,
    "nog": lambda X, H: 3 * (X * H + H * H + H) + 2 * H,
    "niaf": lambda X, H: 4 * (X * H + H * H + H) + 3 * H,
    "noaf": lambda X, H: 4 * (X * H + H * H + H) + 3 * H,
    "cifg": lambda X, H: 3 * (X * H + H * H + H) + 2 * H,
    "np": lambda X, H: 4 * (X * H + H * H + H),
    "fgr": lambda X, H: 4 * (X * H + H * H + H) + 3 * H + 9 * H * H,
    "mgu": lambda X, H: 2 * (X * H + H * H + H),
    "mut1": lambda X, H: (X * H + H) + (X * H + H * H + H) + (H * H + H) + (X != H) * X * H,
    "mut2": lambda X, H: 2 * (X * H + H * H + H) + (H * H + H) + (X != H) * X * H,
    "mut3": lambda X, H: 3 * (X * H + H * H + H),
    "janet": lambda X, H: 2 * (X * H + H * H + H),
    "ugrnn": lambda X, H: 2 * (X * H + H * H + H),
}

FORGET_GATES = {
    **dict.fromkeys("gru gru_reset_after".split(), "z"),
    **dict.fromkeys("lstm lstm_peephole nig nog niaf noaf np fgr janet".split(), "f"),
    "lstm_layernorm": "b_f",
    "ugrnn": "g",
}


def documented_count(cls: type[Cell], X: int, H: int) -> int:
    """The formula in the docstring, such as 2HX + 3H² + HX[X≠H], as a number."""
    (formula,) = re.findall(r"^ *Parameters: (.+)$", cls.__doc__ or "", re.M)
    assert re.fullmatch(r"[\dHX²+()\[\]≠ ]+", formula), formula
    formula = formula.replace("²", "**2").replace("≠", "!=")
    formula = formula.replace("[", "(").replace("]", ")")
    formula = re.sub(r"(?<=[HX\d)])(?=[HX(])", "*", formula)
    return eval(formula, {"H": H, "X": X})


@pytest.mark.parametrize("name", CELLS)
def test_parameter_count(name: str) -> None:
    cls = CELLS[name]
    for X, H in SIZES:
        held = sum(weight.numel() for weight in cls(X, H).parameters())
        assert held == COUNTS[name](X, H), (X, H)
        assert held == cls.count(X, H)
        assert held == documented_count(cls, X, H)


def test_every_cell_is_registered_once() -> None:
    declared = {c for c in vars(odyssey.cells).values() if isinstance(c, type)} - {Cell}
    declared = {c for c in declared if issubclass(c, Cell)}
    assert set(CELLS.values()) == declared
    assert len(CELLS) == len(declared) == len(COUNTS)
    assert set(odyssey.cells.__all__) >= {c.__name__ for c in declared}
    assert len({c.label for c in declared}) == len(declared)
    assert {n: c.forget_gate for n, c in CELLS.items() if c.forget_gate} == FORGET_GATES


def test_every_yaml_has_a_class_and_every_class_a_yaml() -> None:
    files = {path.stem: path for path in (ROOT / "conf" / "cell").glob("*.yaml")}
    assert set(files) == set(CELLS)
    for name, path in files.items():
        text = path.read_text(encoding="utf-8")
        assert text.splitlines()[0] == f"# python train.py cell={name}"
        assert re.match(r"# \w.*\.$", text.splitlines()[1])
        node = yaml.safe_load(text)
        assert node.pop("defaults") == ["/schema/cell@_here_"]
        module, _, cls = node.pop("_target_").rpartition(".")
        cell = getattr(importlib.import_module(module), cls)
        assert cell is CELLS[name]
        bias = node.pop("forget_bias", None)
        assert bias is None or cell.forget_gate is not None
        init = odyssey.cells.Init(**node.pop("init", {}))
        assert node == {}
        cell(3, 4, init=init, forget_bias=bias)


def test_irnn_starts_the_same_from_its_yaml_and_in_python() -> None:
    node = yaml.safe_load((ROOT / "conf" / "cell" / "irnn.yaml").read_text(encoding="utf-8"))
    assert odyssey.cells.IRNN(3, 4).init == odyssey.cells.Init(**node["init"])
    cell = odyssey.cells.IRNN(50, 60)
    assert torch.equal(cell.R, torch.eye(60))
    assert 0.0009 < cell.W.std() < 0.0011


@pytest.mark.parametrize("name", CELLS)
def test_docstring_is_complete(name: str) -> None:
    cls = CELLS[name]
    text = inspect.cleandoc(cls.__doc__ or "")
    first, _, rest = text.partition("\n")
    assert first.endswith(".") and rest.startswith("\n")
    equations = re.findall(r"^ {4}(\w)_t = ", text, re.M)
    assert cls.state[0] in equations
    products = text.partition("Shapes:")[0]
    for g in cls.gates:  # each gate's equation shows the weights it has, and no others
        for letter in "WR":
            assert (f"{letter}_{g} " in products) == (g in cls.rows[letter]), (g, letter)
        assert (f"b_{g}" in products) == (g in cls.rows["b"] or f"b_{g}" in cls.vectors)
    for vector in cls.vectors:
        assert vector in products
    assert re.search(r"^ *Shapes: x_t \(batch, X\)", text, re.M)
    assert re.search(r"^ *Source: .*\w{4}", text, re.M)
    assert re.search(r"\b(19|20)\d\d\b", text.partition("Source:")[2]) or name == "gru_simple"


def test_names() -> None:
    for name, cls in CELLS.items():
        assert registry.cell_name(f"{cls.__module__}.{cls.__name__}") == name
        assert registry.cell_name(f"odyssey.cells.{cls.__name__}") == name
        assert registry.entry_of(f"{cls.__module__}.{cls.__name__}") == registry.CELLS[name]
        assert registry.CELLS[name].forget_gate == (cls.forget_gate is not None)

    for written, expected in {
        "Leaky": "leaky",
        "MyCell": "my_cell",
        "MyLSTM": "my_lstm",
        "LSTMWithNoise2": "lstm_with_noise2",
    }.items():
        assert registry.cell_name(f"my_cells.{written}") == expected
    assert registry.cell_name("my_cells.LSTM") == "lstm" and not registry.entry_of("my_cells.LSTM")
    assert type("Mine", (LSTM,), {}).label == "Mine"


def test_gates_on_one_operand_share_a_product() -> None:
    def products(cls: type[Cell]) -> tuple[tuple[str, ...], ...]:
        return cls(3, 5).products

    assert products(Elman) == (("h",),)
    assert products(LSTM) == (("i", "f", "z", "o"),)
    assert products(GRU) == (("r", "z"), ("n",))
    assert products(Jordan) == (("h",), ("y",))
    assert products(MUT3) == (("z",), ("r",), ("n",))
    assert products(FGR) == (
        ("z", "i", "f", "o"),
        ("i_i", "i_f", "i_o"),
        ("f_i", "f_f", "f_o"),
        ("o_i", "o_f", "o_o"),
    )
    for cls in CELLS.values():
        named = [name for group in cls(2, 3).products for name in group]
        assert sorted(named) == sorted(cls.rows["R"])


def test_layer_norm_is_of_each_sequence_by_itself() -> None:
    cell = LayerNormLSTM(3, 6, dtype=torch.float64)
    x = torch.randn(4, 5, 3, dtype=torch.float64)
    together, _ = run(cell, x)
    alone, _ = run(cell, x[:, 2:3])
    torch.testing.assert_close(together[:, 2:3], alone)


def test_layer_norm_has_finite_gradients_through_steps_of_zeros() -> None:
    """As at the first rows of a digit, where its inputs and states are all zero."""
    cell = LayerNormLSTM(28, 24, forget_bias=1.0)
    x = torch.zeros(28, 2, 28)
    x[5:] = torch.rand(23, 2, 28)
    _, (h, _) = run(cell, x)
    h.square().sum().backward()
    norm = torch.cat([p.grad.flatten() for p in cell.parameters() if p.grad is not None]).norm()
    assert 0 < float(norm) < torch.inf


def test_the_documented_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "own_cell.md").read_text(encoding="utf-8")
    code = "\n\n".join(re.findall(r"```python\n(.*?)```", page, re.S))
    (tmp_path / "my_cells.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_cells", raising=False)
    module = importlib.import_module("my_cells")
    monkeypatch.delitem(sys.modules, "my_cells")
    assert set(re.findall(r"my_cells\.(?!py)(\w+)", page)) == {"Leaky", "Slow", "Decaying"}

    X, H = 3, 5
    x = torch.randn(4, 2, X, dtype=torch.float64)
    leaky = module.Leaky(X, H, dtype=torch.float64)
    h = torch.zeros(2, H, dtype=torch.float64)
    d = torch.sigmoid(leaky.p[0])
    outputs, _ = run(leaky, x)
    for t in range(4):
        h = d * h + (1 - d) * torch.tanh(x[t] @ leaky.W.T + h @ leaky.R.T + leaky.b)
        torch.testing.assert_close(outputs[t], h)

    slow = module.Slow(X, H, forget_bias=1.0, dtype=torch.float64)
    assert slow.products == (("n",), ("back",))
    assert torch.equal(slow.part("b", "g"), torch.ones(H, dtype=torch.float64))
    h, m = torch.zeros(2, 2, H, dtype=torch.float64)
    outputs, last = run(slow, x)
    for t in range(4):
        g = torch.sigmoid(x[t] @ slow.W[:H].T + slow.b[:H])
        read = h @ slow.R[:H].T + m @ slow.R[H:].T
        n = torch.tanh(x[t] @ slow.W[H:].T + slow.b[H:] + read)
        m = g * m + (1 - g) * n
        h = n + x[t] @ slow.P.T
        torch.testing.assert_close(outputs[t], h)
    torch.testing.assert_close(last.m, m)
