"""`odyssey.RNN`: any cell as a layer that is called as torch.nn.LSTM is."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from numbers import Integral
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from odyssey.cells import CELLS
from odyssey.cells.cell import Cell, a_weight
from odyssey.errors import UserError, did_you_mean, options
from odyssey.nn.stack import MakeCell, Stack, StackState
from odyssey.recurrence import exporting, library

# torch.nn's modules by their attribute `mode`, and the cell that computes the same function.
_TORCH = {
    "RNN_TANH": "rnn",
    "RNN_RELU": "elman_relu",
    "GRU": "gru_reset_after",
    "LSTM": "lstm",
}
# Arguments of torch.nn.LSTM that RNN does not have, and what to use.
_NOT_HERE = {
    "bias": "which gates have one is declared by the cell's class, in `lacks`",
    "proj_size": "put an nn.Linear after the layer",
}


class RNN(nn.Module):
    """Layers of any cell, called as torch.nn.LSTM and torch.nn.GRU are.

    Args:
        cell: the class of a cell, as `odyssey.cells.LSTM` or one of your own; or the name of one of
            the package, as `"lstm_peephole"`.
        input_size: X, the number of inputs at each step.
        hidden_size: H, the number of units of each layer and direction.
        num_layers: layers, each of which reads the outputs of the one below.
        bidirectional: whether each layer also has a cell that reads from the end to the start.
            D is then 2, and otherwise 1.
        batch_first: whether input and output are (B, T, ·) instead of (T, B, ·). As in torch.nn it
            changes neither states nor packed sequences.
        dropout: the probability of dropout on the outputs of each layer but the last, in training.
        backend: what runs the loop over time: "reference" (a plain loop in Python), "compiled"
            (kernels derived from the cell's equations), "library" (torch.nn's, for the cells that
            it has), or "auto", the fastest of those that can run the cell.
        device, dtype: of the weights, as in torch.nn.
        **options: what the cell's class takes besides its sizes, as `forget_bias=1.0`, `init=...`.

    Called with `input`, and optionally `hx`, `lengths` and `truncation`; see `forward`.

    The weights are those of the cells, `stack.layers.<layer>.<direction>.W` and so on, drawn as the
    cell's option `init` says: by default matrices as in torch.nn, biases zero. A cell has one bias
    a gate where torch.nn adds up two. `from_torch` and `to_torch` convert.

    While torch.export (with strict=False, its default), torch.onnx or torch.jit.trace reads the
    layer, the backend is the plain loop whatever was asked for. Its steps are unrolled, so T is
    fixed (torch.export refuses a dynamic T, torch.onnx fixes it without a word); the size of the
    batch may be dynamic. For any T, export one step, which is the cell itself (`Cell.forward`), and
    loop outside. A PackedSequence cannot be exported; x with `lengths` can, a tensor whose values
    are then not checked.

    nn.DataParallel splits dimension 0 of what it is given: use batch_first, or its `dim=1`.

    Raises ValueError or TypeError for arguments that do not fit, in one sentence.

    Example:
        >>> import torch
        >>> from odyssey import RNN
        >>> rnn = RNN("lstm_peephole", 3, 4, num_layers=2, bidirectional=True, batch_first=True)
        >>> x = torch.randn(5, 7, 3)
        >>> y, (h, c) = rnn(x, lengths=[7, 2, 5, 1, 7])
        >>> y.shape, h.shape, c.shape
        (torch.Size([5, 7, 8]), torch.Size([4, 5, 4]), torch.Size([4, 5, 4]))
        >>> y, (h, c) = rnn(x, (h, c))

        A cell of one state has a tensor for its state, as torch.nn.GRU has:

        >>> y, h = RNN("gru", 3, 4)(torch.randn(7, 5, 3))
        >>> y.shape, h.shape
        (torch.Size([7, 5, 4]), torch.Size([1, 5, 4]))
    """

    def __init__(
        self,
        cell: str | type[Cell] | MakeCell,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        bidirectional: bool = False,
        batch_first: bool = False,
        dropout: float = 0.0,
        backend: str = "auto",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        make = _cell_class(cell)
        _check_options(make, options)
        sizes = {"input_size": input_size, "hidden_size": hidden_size, "num_layers": num_layers}
        for name, size in sizes.items():
            if not isinstance(size, Integral) or size < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, not {size!r}")
        if not isinstance(dropout, (int, float)) or not 0 <= dropout <= 1:
            raise ValueError(f"dropout must be a probability, 0 to 1, not {dropout!r}")
        if dropout and num_layers == 1:
            warnings.warn(
                f"dropout={dropout} lies between layers, so it does nothing with num_layers=1",
                stacklevel=2,
            )
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bidirectional = bidirectional
        self.batch_first = batch_first

        def make_cell(input_size: int, hidden_size: int) -> Cell:
            made = make(input_size, hidden_size, **options)
            if not isinstance(made, Cell):
                raise TypeError(f"cell must make a Cell of (X, H), not {_said(made)}")
            return made

        with nullcontext() if device is None else torch.device(device):
            self.stack = _make_stack(
                make_cell,
                input_size,
                hidden_size,
                num_layers=num_layers,
                bidirectional=bidirectional,
                dropout=dropout,
                backend=backend,
            )
        # Converted after drawing: torch has no orthogonal matrices of 16 bits, and a class of a
        # user's own need not take a dtype.
        self.to(dtype=dtype)

    # -- the call --------------------------------------------------------------------------------

    def forward(
        self,
        input: Tensor | PackedSequence,
        hx: Tensor | Sequence[Tensor] | None = None,
        lengths: Tensor | Sequence[int] | None = None,
        truncation: int | None = None,
    ) -> tuple[Tensor | PackedSequence, Tensor | tuple[Tensor, ...]]:
        """Run the layers over a batch of sequences.

        Args:
            input: (T, B, X), or (B, T, X) with batch_first; (T, X) for a single sequence; or a
                PackedSequence, sorted or not.
            hx: the initial state, zeros by default. A tensor for a cell of one state, as for
                torch.nn.GRU; for a cell of more a tuple in the order of its `state`, as (h, c) for
                torch.nn.LSTM. Each is (num_layers·D, B, H), and (num_layers·D, H) with a single
                sequence: layer by layer, in each the forward direction first, and the sequences in
                the order of the batch (with a PackedSequence that of before it was sorted).
            lengths: valid steps of each sequence, 1 to T, in any order; T for all by default. What
                stands in the padding has no influence, and the outputs there are zero.
            truncation: steps between cuts of the gradient, for truncated backpropagation through
                time; it changes no value of the forward pass.

        Returns:
            The outputs of the last layer, (T, B, H·D) with the forward direction's units first, or
            in the form of the input; and the state at each sequence's own end, in the form of hx.
        """
        if isinstance(input, PackedSequence):
            return self._packed(input, hx, lengths, truncation)
        if not isinstance(input, Tensor):
            raise TypeError(f"x must be a Tensor or a PackedSequence, not {_said(input)}")
        single = input.dim() == 2
        if (not single and input.dim() != 3) or input.shape[-1] != self.input_size:
            form = "(B, T, {})" if self.batch_first else "(T, B, {})"
            raise ValueError(
                f"x must be {form.format(self.input_size)}, or (T, {self.input_size}) for a single "
                f"sequence, not {tuple(input.shape)}"
            )
        if single and lengths is not None:
            raise ValueError("lengths are those of a batch: say x[:n] instead")
        x = input
        if single:
            x = x.unsqueeze(1)
        elif self.batch_first:
            x = x.transpose(0, 1)
        y, last = self._run(x, hx, _as_lengths(lengths), truncation, single)
        if single:
            return y.squeeze(1), last
        return (y.transpose(0, 1) if self.batch_first else y), last

    def _packed(
        self,
        packed: PackedSequence,
        hx: Tensor | Sequence[Tensor] | None,
        lengths: Tensor | Sequence[int] | None,
        truncation: int | None,
    ) -> tuple[PackedSequence, Tensor | tuple[Tensor, ...]]:
        """`forward` of a PackedSequence."""
        if exporting():
            raise TypeError(
                "a PackedSequence cannot be exported: give x, and the lengths as a tensor"
            )
        if lengths is not None:
            raise ValueError("a PackedSequence has its lengths in itself: leave out lengths=")
        if packed.data.dim() != 2 or packed.data.shape[-1] != self.input_size:
            raise ValueError(
                f"the data of a PackedSequence must be (steps, {self.input_size}), not "
                f"{tuple(packed.data.shape)}"
            )
        x, n = pad_packed_sequence(packed)  # in the order before sorting
        y, last = self._run(x, hx, n, truncation, False)
        if packed.sorted_indices is not None:
            y = y.index_select(1, packed.sorted_indices)
            n = n[packed.sorted_indices.cpu()]
        # Not packed anew with enforce_sorted=False, which may order equal lengths in another way.
        return packed._replace(data=pack_padded_sequence(y, n).data), last

    def _run(
        self,
        x: Tensor,
        hx: Tensor | Sequence[Tensor] | None,
        lengths: Tensor | None,
        truncation: int | None,
        single: bool,
    ) -> tuple[Tensor, Tensor | tuple[Tensor, ...]]:
        """x (T, B, X) -> outputs (T, B, H·D), and the last state as `forward` returns it."""
        state = None if hx is None else self._split(hx, x.shape[1], single)
        y, ends = self.stack(x, lengths, state, truncation)
        each = zip(*(s for layer in ends for s in layer), strict=True)
        last = tuple(torch.stack(values) for values in each)
        if single:
            last = tuple(v.squeeze(1) for v in last)
        return y, last if len(last) > 1 else last[0]

    def _split(self, hx: Tensor | Sequence[Tensor], batch: int, single: bool) -> StackState:
        """States as a caller gives them -> those of each layer and direction."""
        grid = self.stack.grid()
        names = grid[0][0].state
        rows = self.num_layers * self.stack.directions
        want = (rows, self.hidden_size) if single else (rows, batch, self.hidden_size)
        one = len(names) == 1
        given = [hx] if isinstance(hx, Tensor) else list(hx)
        fits = isinstance(hx, Tensor) == one and len(given) == len(names)
        if not fits or any(not isinstance(v, Tensor) or tuple(v.shape) != want for v in given):
            form = f"a tensor {names[0]}" if one else f"a tuple ({', '.join(names)}), each"
            raise ValueError(
                f"the state of {type(grid[0][0]).__name__} must be {form} {want}, not {_said(hx)}"
            )
        if single:
            given = [v.unsqueeze(1) for v in given]
        each = iter(zip(*(v.unbind(0) for v in given), strict=True))
        return [tuple(cell.State(*next(each)) for cell in layer) for layer in grid]

    # -- as torch.nn's modules -------------------------------------------------------------------

    @property
    def dropout(self) -> float:
        """The probability of dropout between layers."""
        return self.stack.dropout.p

    @property
    def backend(self) -> str:
        """The backend that was asked for."""
        return self.stack.backend

    def reset_parameters(self) -> None:
        """Draw all weights anew, from torch's global generator."""
        for cell in self.stack.cells():
            cell.reset_parameters()

    def flatten_parameters(self) -> None:
        """Do nothing: for code that calls it on torch.nn.LSTM. The weights lie as they have to."""

    def extra_repr(self) -> str:
        parts = [type(self.stack.cells()[0]).__name__, str(self.input_size), str(self.hidden_size)]
        defaults = {
            "num_layers": 1,
            "bidirectional": False,
            "batch_first": False,
            "dropout": 0.0,
            "backend": "auto",
        }
        given = {name: getattr(self, name) for name in defaults}
        return ", ".join(parts + [f"{k}={v!r}" for k, v in given.items() if v != defaults[k]])

    # -- weights from and to torch.nn ------------------------------------------------------------

    @classmethod
    def from_torch(cls, module: nn.RNNBase, *, backend: str = "auto") -> RNN:
        """The same function as a torch.nn.RNN, GRU or LSTM, with its weights, device and dtype.

        The two biases that torch.nn adds up become one, whose gradient is that of each; so an
        optimizer's step moves the sum of torch's two by twice as much. A module with bias=False
        gets biases of zero that are not trained.

        Raises ValueError for proj_size, TypeError for what is not such a module.

        Example:
            >>> import torch
            >>> from odyssey import RNN
            >>> lstm = torch.nn.LSTM(3, 4, num_layers=2, batch_first=True)
            >>> rnn = RNN.from_torch(lstm)
            >>> x = torch.randn(5, 7, 3)
            >>> torch.allclose(rnn(x)[0], lstm(x)[0], atol=1e-6)
            True
        """
        if not isinstance(module, (nn.RNN, nn.GRU, nn.LSTM)):
            raise TypeError(
                f"from_torch takes a torch.nn.RNN, GRU or LSTM, not {type(module).__name__}"
            )
        if type(module).forward not in (nn.RNN.forward, nn.GRU.forward, nn.LSTM.forward):
            raise TypeError(
                f"{type(module).__name__} has a forward of its own, so it may be another function "
                "than torch.nn's"
            )
        if module.proj_size:
            raise ValueError(
                f"no cell has the projection of proj_size={module.proj_size}: "
                "put an nn.Linear after the layer"
            )
        weight = next(module.parameters())
        rnn = cls(
            _TORCH[module.mode],
            module.input_size,
            module.hidden_size,
            module.num_layers,
            bidirectional=module.bidirectional,
            batch_first=module.batch_first,
            backend=backend,
            device="meta",  # which draws no random numbers
            dtype=weight.dtype,
        ).to_empty(device=weight.device)
        rnn.stack.dropout.p = module.dropout
        for cell, suffix in rnn._suffixes():
            theirs = {k: getattr(module, f"{k}_{suffix}") for k in ("weight_ih", "weight_hh")}
            _copy(cell.W, theirs["weight_ih"])
            _copy(cell.R, theirs["weight_hh"])
            if module.bias:
                first, second = (getattr(module, f"bias_{k}_{suffix}") for k in ("ih", "hh"))
            else:
                first = second = weight.new_zeros(len(cell.gates) * cell.hidden_size)
            if cell.vectors:  # the GRU's candidate: its second bias is inside of the reset
                before, inside = second.tensor_split([2 * cell.hidden_size])
                _copy(cell.p, inside.unsqueeze(0))
                second = torch.cat([before, torch.zeros_like(inside)])
            _copy(cell.b, first + second)
        return rnn.train(module.training)

    def to_torch(self) -> nn.RNNBase:
        """A torch.nn.RNN, GRU or LSTM that computes the same function, with the same weights.

        The second of torch's biases is zero, but for the candidate of a GRU. There are such modules
        for the cells rnn, elman_relu, irnn, lstm, np and gru_reset_after; ValueError for others.

        Example:
            >>> from odyssey import RNN
            >>> RNN("gru_reset_after", 3, 4, num_layers=2).to_torch()
            GRU(3, 4, num_layers=2)
        """
        first = self.stack.cells()[0]
        if not library.supports(first):
            with_one = [name for name, kind in CELLS.items() if library.has_class(kind)]
            raise ValueError(
                f"torch.nn has no module for the cell {type(first).__name__}, only for "
                f"{options(with_one)}"
            )
        function = library.function(first)
        kinds: dict[Any, tuple[Any, dict[str, str]]] = {
            torch.rnn_tanh: (nn.RNN, {"nonlinearity": "tanh"}),
            torch.rnn_relu: (nn.RNN, {"nonlinearity": "relu"}),
            torch.gru: (nn.GRU, {}),
            torch.lstm: (nn.LSTM, {}),
        }
        make, more = kinds[function]
        trained = any(c.b.requires_grad or bool(c.b.any()) for c in self.stack.cells())
        weight = a_weight(first)
        module: nn.RNNBase = make(
            self.input_size,
            self.hidden_size,
            self.num_layers,
            bias=trained,
            batch_first=self.batch_first,
            bidirectional=self.bidirectional,
            device="meta",
            dtype=weight.dtype,
            **more,
        ).to_empty(device=weight.device)
        module.dropout = self.dropout
        for cell, suffix in self._suffixes():
            for name, value in zip(_NAMES, library.weights(cell), strict=True):
                if trained or name.startswith("weight"):
                    _copy(getattr(module, f"{name}_{suffix}"), value)
        return module.train(self.training)

    def _suffixes(self) -> list[tuple[Cell, str]]:
        """Each cell, and the end of the names of its weights in torch.nn."""
        return [
            (cell, f"l{i}{'_reverse' if d else ''}")
            for i, layer in enumerate(self.stack.grid())
            for d, cell in enumerate(layer)
        ]


_NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def _copy(into: Tensor, value: Tensor) -> None:
    """The value, and whether it is trained."""
    with torch.no_grad():
        into.copy_(value)
    into.requires_grad_(value.requires_grad)


def _as_lengths(lengths: Tensor | Sequence[int] | None) -> Tensor | None:
    """Lengths as `run` takes them: int64 on the CPU. Raises TypeError for fractions."""
    if lengths is None:
        return None
    n = torch.as_tensor(lengths)
    if n.numel() and (n.is_floating_point() or n.dtype == torch.bool):
        raise TypeError(f"lengths must be whole numbers of steps, not {n.dtype}")
    return n.to("cpu", torch.int64)


def _said(value: Any) -> str:
    """What was given, for an error: the shape of a tensor, those of a tuple's, or a type."""
    if isinstance(value, Tensor):
        return f"a tensor {tuple(value.shape)}"
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of {', '.join(map(_said, value)) or 'nothing'}"
    return f"a {type(value).__name__}"


def _cell_class(cell: Any) -> MakeCell:
    """The class of that name, or what was given. Raises ValueError or TypeError."""
    if isinstance(cell, str):
        if cell not in CELLS:
            raise ValueError(
                f"no cell is called {cell!r}{did_you_mean(cell, CELLS)}; choose a class, or one of "
                f"{options(CELLS)}"
            )
        return CELLS[cell]
    if isinstance(cell, nn.Module) or not callable(cell):
        raise TypeError(
            f"cell must be the name or the class of a cell, not {_said(cell)}: say 'lstm' or "
            "odyssey.cells.LSTM"
        )
    if isinstance(cell, type) and not issubclass(cell, Cell):
        raise TypeError(
            f"{cell.__name__} is not a cell: derive it from odyssey.cells.Cell, or choose one of "
            f"{options(CELLS)}"
        )
    return cell


def _check_options(make: MakeCell, given: dict[str, Any]) -> None:
    """Raise TypeError for an option that neither RNN nor the cell's class has."""
    taken = inspect.signature(make).parameters
    if any(p.kind is p.VAR_KEYWORD for p in taken.values()):
        return
    for name in given:
        if name not in taken:
            known = {*inspect.signature(RNN.__init__).parameters, *taken} - {"self", "options"}
            kind = getattr(make, "__name__", "its cell")
            way = _NOT_HERE.get(name)
            tail = f": {way}" if way else f"{did_you_mean(name, known)}"
            raise TypeError(f"neither RNN nor {kind} has an option {name}{tail}")


def _make_stack(make: MakeCell, input_size: int, hidden_size: int, **rest: Any) -> Stack:
    """A Stack, with errors that speak of arguments instead of keys of the configuration."""
    try:
        return Stack(make, input_size, hidden_size, **rest)
    except UserError as error:
        raise ValueError(str(error).replace("model.backend=", "backend=")) from None
