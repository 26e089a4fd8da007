"""The base class of cells: declared names of states, gates and weights, and one time step."""

from __future__ import annotations

import keyword
from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from odyssey.cells.init import Init, fill


class Cell(nn.Module):
    """A recurrent cell: H units reading X inputs.

    A subclass declares its names and writes `step`:

    - `state`: names of the states, each (batch, H); the first is the output.
    - `gates`: each has W (H × X), R (H × H) and b (H), stored one after another in this order.
    - `lacks`: gate -> letters of the weights (W, R, b) that it does not have, as in `{"n": "W"}`.
    - `recurrent`: further matrices (H × H), used as `R.name(v)` like those of the gates.
    - `vectors`: one weight a unit (H), as in peepholes. Those also named in `ones` start at 1, as
      gains do; those also named in `biases` start as the gates' b do.
    - `bare`: names under which `step` reads the input itself: x_t where X = H, else P x_t with a
      matrix P (H × X).
    - `forget_gate`: the gate, or the one of `biases`, that the option `forget_bias` sets.
    - `label`: its name in figures; by default the class's name.

    A class may have further parameters (`self.alpha = nn.Parameter(torch.tensor(0.5))` after
    `super().__init__`) and buffers: numbers, or one value a unit, (H).

    In `step(x, R, p, s)`: `x.k` is W_k x_t + b_k, `R.k(v)` is R_k v, `p.k` a vector, `s.k` the
    state of the step before. It returns the new states in the order of `state`. Everything else
    must act on each unit by itself and must not branch on values, so that a step can be traced,
    vectorised and compiled.

    Parameters: `W` (#W·H, X), `R` (#R·H, H), `b` (#b·H), `p` (#vectors, H), `P` (#bare·H, X);
    those without any rows are absent. `part("R", "i")` is the rows of one gate.

    A cell that is called runs one step, as torch.nn.LSTMCell does; `odyssey.RNN` runs sequences.

    Example:
        >>> import torch, odyssey
        >>> class Leaky(odyssey.Cell):
        ...     gates = ("n",)
        ...     vectors = ("a",)
        ...
        ...     def step(self, x, R, p, s):
        ...         d = torch.sigmoid(p.a)
        ...         return d * s.h + (1 - d) * torch.tanh(x.n + R.n(s.h))
        >>> h = Leaky(3, 4)(torch.randn(5, 3))
        >>> y, h = odyssey.RNN(Leaky, 3, 4, num_layers=2)(torch.randn(7, 5, 3))
        >>> y.shape, h.shape
        (torch.Size([7, 5, 4]), torch.Size([2, 5, 4]))
    """

    state: ClassVar[tuple[str, ...]] = ("h",)
    gates: ClassVar[tuple[str, ...]] = ()
    lacks: ClassVar[Mapping[str, str]] = {}
    recurrent: ClassVar[tuple[str, ...]] = ()
    vectors: ClassVar[tuple[str, ...]] = ()
    ones: ClassVar[tuple[str, ...]] = ()
    biases: ClassVar[tuple[str, ...]] = ()
    bare: ClassVar[tuple[str, ...]] = ()
    forget_gate: ClassVar[str | None] = None
    label: ClassVar[str] = ""

    # Derived from the above for each class.
    rows: ClassVar[dict[str, tuple[str, ...]]]  # parameter -> the names whose rows it stacks
    Inputs: ClassVar[type]
    State: ClassVar[type]

    W: Tensor
    R: Tensor
    b: Tensor
    p: Tensor
    P: Tensor

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _check_names(cls)
        cls.label = cls.__dict__.get("label") or cls.__name__
        has = {k: tuple(g for g in cls.gates if k not in cls.lacks.get(g, "")) for k in "WRb"}
        cls.rows = {
            "W": has["W"],
            "R": has["R"] + cls.recurrent,
            "b": has["b"],
            "p": cls.vectors,
            "P": cls.bare,
        }
        read = tuple(g for g in cls.gates if g in has["W"] or g in has["b"])
        cls.Inputs = namedtuple(f"{cls.__name__}Inputs", read + cls.bare)  # type: ignore[misc]
        cls.State = namedtuple(f"{cls.__name__}State", cls.state)  # type: ignore[misc]

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        init: Init | None = None,
        forget_bias: float | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if forget_bias is not None and self.forget_gate is None:
            raise ValueError(f"{type(self).__name__} has no forget gate, so no forget_bias")
        if forget_bias is not None and not isinstance(forget_bias, (int, float)):
            raise TypeError(f"forget_bias must be a number, not {forget_bias!r}")
        if init is not None and not isinstance(init, Init):
            raise TypeError(f"init must be an odyssey.cells.Init, not {init!r}")
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.init = init or Init()
        self.forget_bias = forget_bias
        h = hidden_size
        shapes = {"W": (h, input_size), "R": (h, h), "b": (h,), "p": (h,), "P": (h, input_size)}
        self.shapes: dict[str, tuple[int, ...]] = {}
        for letter, names in self.rows.items():
            if letter == "P" and input_size == hidden_size:
                names = ()
            shape = shapes[letter]
            full = (len(names), h) if letter == "p" else (len(names) * h, *shape[1:])
            value = nn.Parameter(torch.empty(full, dtype=dtype)) if names else None
            self.register_parameter(letter, value)
        self.reset_parameters()
        self._products: tuple[tuple[str, ...], ...] | None = None
        try:
            self._products = _products(self)
        except ValueError as error:
            # What the step misses may come later in an __init__ of the class's own.
            missing = isinstance(error.__cause__, AttributeError)
            if not missing or type(self).__init__ is Cell.__init__:
                raise

    @property
    def products(self) -> tuple[tuple[str, ...], ...]:
        """The names of `R` in groups that read the same operand.

        Raises ValueError if `step` does not fit the class's declaration.
        """
        if self._products is None:
            self._products = _products(self)
        return self._products

    # -- weights ---------------------------------------------------------------------------

    def part(self, letter: str, name: str) -> Tensor:
        """The rows of parameter `letter` (W, R, b, p or P) that belong to `name`, as a view."""
        i, h = self.rows[letter].index(name), self.hidden_size
        weight = getattr(self, letter)
        return weight[i] if letter == "p" else weight[i * h : (i + 1) * h]

    def reset_parameters(self) -> None:
        """Draw all weights, gate by gate, from torch's global generator."""
        of = {"W": "input", "R": "recurrent", "b": "bias", "p": "vector", "P": "input"}
        for letter, names in self.rows.items():
            if getattr(self, letter) is None:
                continue
            for name in names:
                of_name = "bias" if letter == "p" and name in self.biases else of[letter]
                kind = getattr(self.init, of_name)
                scale = getattr(self.init, of_name + "_scale")
                option = f"cell.init.{of_name}"
                fill(self.part(letter, name), kind, scale, self.hidden_size, option)
        with torch.no_grad():
            for name in self.ones:
                self.part("p", name).fill_(1.0)
            if self.forget_bias is not None and self.forget_gate is not None:
                letter = "b" if self.forget_gate in self.gates else "p"
                self.part(letter, self.forget_gate).fill_(self.forget_bias)

    # -- the parts of a step ---------------------------------------------------------------

    def project(self, x: Tensor) -> Any:
        """x (..., X) -> `Inputs`, each (..., H): one matrix product for all gates and all steps.

        For a gate without W it is the bias alone, with shape (H).
        """
        h = self.hidden_size
        parts: dict[str, Tensor] = {}
        if self.rows["W"]:
            aligned = self.rows["b"] == self.rows["W"]
            y = F.linear(x, self.W, self.b if aligned else None)
            y = y.unflatten(-1, (len(self.rows["W"]), h))
            parts = dict(zip(self.rows["W"], y.unbind(-2), strict=True))
            if not aligned:
                for name in self.rows["b"]:
                    b = self.part("b", name)
                    parts[name] = parts[name] + b if name in parts else b
        elif self.b is not None:
            parts = {name: self.part("b", name) for name in self.rows["b"]}
        for name in self.bare:
            parts[name] = x if self.P is None else F.linear(x, self.part("P", name))
        return self.Inputs(**{name: parts[name] for name in self.Inputs._fields})  # type: ignore[attr-defined]

    def peeps(self) -> SimpleNamespace:
        """The vectors by name, each (H): `p` of `step`."""
        return SimpleNamespace(**{name: self.part("p", name) for name in self.vectors})

    def initial_state(self, like: Tensor) -> Any:
        """Zeros for every state, each (batch, H), of the dtype and device of `like` (batch, X)."""
        zero = like.new_zeros(like.shape[:-1] + (self.hidden_size,))
        return self.State(*(zero for _ in self.state))

    def step(self, x: Any, R: Any, p: Any, s: Any) -> tuple[Tensor, ...] | Tensor:
        """One time step: the cell's equations, which every subclass defines."""
        raise TypeError(f"{type(self).__name__} must define step(self, x, R, p, s)")

    def forward(
        self, x: Tensor, state: Tensor | Sequence[Tensor] | None = None
    ) -> Tensor | tuple[Tensor, ...]:
        """One time step of a batch, called as torch.nn.LSTMCell and torch.nn.GRUCell are.

        Args:
            x: the input (B, X), or (X) without a batch.
            state: the state of the step before, zeros by default: a tensor (B, H) for a cell of one
                state, a tuple of them in the order of `state` for a cell of more. (H) without a
                batch.

        Returns:
            The new state in the same form; the first, or the tensor, is the output.

        Raises ValueError for other shapes; `odyssey.RNN` is for sequences.

        Example:
            >>> import torch
            >>> from odyssey.cells import GRU, LSTM
            >>> h, c = LSTM(3, 4)(torch.randn(5, 3))
            >>> h, c = LSTM(3, 4)(torch.randn(5, 3), (h, c))
            >>> GRU(3, 4)(torch.randn(3)).shape
            torch.Size([4])
        """
        this, X, H = type(self).__name__, self.input_size, self.hidden_size
        if x.dim() not in (1, 2) or x.shape[-1] != X:
            raise ValueError(
                f"a cell runs one step, of x (B, {X}) or ({X}), not {tuple(x.shape)}; for "
                f"sequences say odyssey.RNN({this}, {X}, {H})(x)"
            )
        check_tensor(self, "x", x)
        one = len(self.state) == 1
        want = (*x.shape[:-1], H)
        if state is None:
            given = self.initial_state(x)
        else:
            values = [state] if isinstance(state, Tensor) else list(state)
            fits = isinstance(state, Tensor) == one and len(values) == len(self.state)
            if not fits or any(tuple(v.shape) != want for v in values):
                form = f"a tensor {self.state[0]}" if one else f"({', '.join(self.state)}), each"
                raise ValueError(
                    f"the state of {this} must be {form} {want}, not "
                    f"{[tuple(v.shape) for v in values]}"
                )
            given = self.State(*values)
            for name, value in zip(self.state, values, strict=True):
                check_tensor(self, f"the state {name}", value)
        if x.dim() == 1:  # a step may count on the batch
            x, given = x.unsqueeze(0), self.State(*(v.unsqueeze(0) for v in given))
        new = self.step(self.project(x), Products(self), self.peeps(), given)
        new = (new,) if isinstance(new, Tensor) else tuple(new)
        if len(want) == 1:
            new = tuple(v.squeeze(0) for v in new)
        return new[0] if one else new

    # -- description -----------------------------------------------------------------------

    @classmethod
    def count(cls, input_size: int, hidden_size: int) -> int:
        """The number of parameters of a cell with these sizes."""
        x, h = input_size, hidden_size
        n = {letter: len(names) for letter, names in cls.rows.items()}
        bare = 0 if x == h else n["P"] * h * x
        return n["W"] * h * x + n["R"] * h * h + n["b"] * h + n["p"] * h + bare

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}"


def a_weight(cell: Cell) -> Tensor:
    """One of the cell's weights, for its dtype and device."""
    # A replica for another thread has its weights as attributes, but no parameters.
    for weight in (cell.W, cell.R, cell.b, cell.p, cell.P):
        if weight is not None:
            return weight
    return next(cell.parameters())


def check_tensor(cell: Cell, name: str, value: Tensor) -> None:
    """Raise ValueError for an input or a state of another dtype or device than the weights."""
    weight = a_weight(cell)
    if value.device != weight.device:
        raise ValueError(
            f"{name} is on {value.device} and the weights are on {weight.device}: move one"
        )
    if value.dtype != weight.dtype and not torch.is_autocast_enabled(value.device.type):
        raise ValueError(f"{name} is {value.dtype} and the weights are {weight.dtype}: convert one")


class Products:
    """`R` of `step`: `R.name(v)` is a matrix product, computed once for all gates that read v."""

    def __init__(self, cell: Cell) -> None:
        self._where: dict[str, tuple[int, int]] = {}
        self._weights: list[Tensor] = []
        for g, names in enumerate(cell.products):
            parts = [cell.part("R", name) for name in names]
            first = cell.rows["R"].index(names[0])
            last = first + len(names)
            h = cell.hidden_size
            consecutive = cell.rows["R"][first:last] == names
            self._weights.append(cell.R[first * h : last * h] if consecutive else torch.cat(parts))
            for i, name in enumerate(names):
                self._where[name] = (g, i)
                setattr(self, name, self._bind(g, i))
        self._operands: list[Tensor | None] = [None] * len(self._weights)
        self._results: list[tuple[Tensor, ...]] = [()] * len(self._weights)
        self._hidden = cell.hidden_size

    def _bind(self, group: int, index: int) -> Callable[[Tensor], Tensor]:
        def product(v: Tensor) -> Tensor:
            if self._operands[group] is not v:
                self._operands[group] = v
                y = F.linear(v, self._weights[group])
                self._results[group] = y.split(self._hidden, -1)
            return self._results[group][index]

        return product


def _products(cell: Cell) -> tuple[tuple[str, ...], ...]:
    """The names of `R` in groups that read the same operand, found by running one step.

    Raises ValueError if `step` does not fit the class's declaration.
    """
    this = type(cell).__name__
    used: dict[int, list[str]] = {}
    seen: list[Tensor] = []  # keeps operands alive, so that ids stay unique
    where: dict[str, int] = {}

    def record(name: str) -> Callable[[Tensor], Tensor]:
        def product(v: Tensor) -> Tensor:
            if where.setdefault(name, id(v)) != id(v):
                raise ValueError(
                    f"{this}.step applies R.{name} to two different operands; "
                    "declare a second matrix in `recurrent`"
                )
            seen.append(v)
            names = used.setdefault(id(v), [])
            if name not in names:
                names.append(name)
            return torch.zeros_like(v)

        return product

    R = SimpleNamespace(**{name: record(name) for name in cell.rows["R"]})
    weight = next(cell.parameters(), None)
    if weight is None:
        raise ValueError(f'{this} has no weights; say gates = ("h",), for instance')
    with torch.no_grad():
        x = weight.new_zeros(1, cell.input_size)
        # Not initial_state, in which all states may be one tensor, and so one operand.
        s = cell.State(*(weight.new_zeros(1, cell.hidden_size) for _ in cell.state))
        try:
            out = cell.step(cell.project(x), R, cell.peeps(), s)
        except AttributeError as error:
            raise ValueError(f"{this}.step uses .{error.name}, which is not declared") from error
    out = tuple(out) if isinstance(out, (tuple, list)) else (out,)
    if len(out) != len(cell.state):
        raise ValueError(
            f"{this}.step returns {len(out)} values, but its state is {', '.join(cell.state)}"
        )
    for name, value in zip(cell.state, out, strict=True):
        if not isinstance(value, Tensor):
            raise ValueError(f"{this}.step returns {type(value).__name__} as {name}: no tensor")
        if value.shape != s[0].shape:
            raise ValueError(
                f"{this}.step returns {name} of shape {tuple(value.shape)} for one sequence, and "
                f"not (1, {cell.hidden_size})"
            )
        if value.dtype != weight.dtype:
            raise ValueError(f"{this}.step returns {name} as {value.dtype}, not {weight.dtype}")
    unused = [name for name in cell.rows["R"] if name not in where]
    if unused:
        raise ValueError(
            f"{this}.step never uses R.{unused[0]}; "
            f'say lacks = {{"{unused[0]}": "R"}} if the gate has no recurrent matrix'
        )
    order = cell.rows["R"].index
    return tuple(tuple(sorted(names, key=order)) for names in used.values())


def _check_names(cls: type[Cell]) -> None:
    """Raise TypeError for an inconsistent declaration."""

    def refuse(why: str) -> None:
        raise TypeError(f"{cls.__name__}: {why}")

    def check_tuple(field: str) -> None:
        names = getattr(cls, field)
        if isinstance(names, str):
            refuse(f'{field} = "{names}" must be a tuple of names, as in ("{names}",)')
        for name in names:
            usable = isinstance(name, str) and name.isidentifier() and not keyword.iskeyword(name)
            if not usable or name.startswith("_"):
                refuse(f"{field} holds {name!r}, which cannot be used as a name in step")
        if len(set(names)) != len(names):
            refuse(f"{field} names something twice")

    for field in ("state", "gates", "recurrent", "vectors", "ones", "biases", "bare"):
        check_tuple(field)
    if not cls.state:
        refuse("state is empty; name at least the output, as in state = ('h',)")
    if set(cls.gates) & (set(cls.recurrent) | set(cls.bare)):
        refuse("a name in recurrent or bare is also a gate")
    for gate, letters in cls.lacks.items():
        if gate not in cls.gates or not set(letters) <= set("WRb"):
            refuse(f"lacks[{gate!r}] = {letters!r} must map a gate to letters of W, R, b")
    if not set(cls.ones) | set(cls.biases) <= set(cls.vectors):
        refuse("ones and biases must be among vectors")
    if set(cls.ones) & set(cls.biases):
        refuse("a vector is in both ones and biases")
    with_bias = {g for g in cls.gates if "b" not in cls.lacks.get(g, "")}
    if cls.forget_gate is not None and cls.forget_gate not in with_bias | set(cls.biases):
        refuse(f"forget_gate = {cls.forget_gate!r} is not a gate with a bias")
