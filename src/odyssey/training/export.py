"""A trained model as a file for other programs: ONNX, TorchScript or safetensors."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from odyssey.errors import UserError, options
from odyssey.io import reason, write_bytes, write_text
from odyssey.nn.sequence import SequenceModel
from odyssey.tasks.base import Task

FORMATS = {"onnx": ".onnx", "torchscript": ".pt", "safetensors": ".safetensors"}
NEEDED = {"onnx": ("onnx", "onnxscript"), "torchscript": (), "safetensors": ("safetensors",)}
OPSET = 18


class Step(nn.Module):
    """One step of a model: input (B) or (B, X) and state (B, S) to logits (B, K) and state (B, S).

    The state is that of all layers side by side, zeros at the start of a sequence.
    """

    def __init__(self, model: SequenceModel) -> None:
        super().__init__()
        self.model = model
        weight = model.head.weight
        size = 2 if model.reader.tokens else model.reader.input_size
        first = (
            torch.zeros(1, 1, dtype=torch.long)
            if model.reader.tokens
            else torch.zeros(1, 1, size, dtype=weight.dtype)
        )
        with torch.no_grad():
            _, state = model(first, None, None)
        self.sizes = [[part.shape[-1] for part in layer[0]] for layer in state]
        self.kinds = [type(layer[0]) for layer in state]
        self.size = sum(map(sum, self.sizes))

    def forward(self, input: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Logits, of what comes next or of the sequence so far, and the state after the step."""
        parts = iter(state.split([n for layer in self.sizes for n in layer], -1))
        given = [
            (kind(*(next(parts) for _ in layer)),)
            for kind, layer in zip(self.kinds, self.sizes, strict=True)
        ]
        logits, after = self.model(input.unsqueeze(0), None, given)
        logits = logits if self.model.last else logits[0]
        return logits, torch.cat([part for layer in after for part in layer[0]], -1)


class Loop(nn.Module):
    """A traced step over time: input (T, B) or (T, B, X), state (B, S); T and B are free."""

    def __init__(self, step: nn.Module, last: bool) -> None:
        super().__init__()
        self.step = step
        self.last = last

    def forward(self, input: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (T, B, K), or (B, K) after the last step, and the state after it."""
        found: list[Tensor] = []
        for t in range(input.shape[0]):
            logits, state = self.step(input[t], state)
            found.append(logits)
        return (found[-1] if self.last else torch.stack(found)), state


def export(model: nn.Module, task: Task, cfg: Any, to: str, path: Path) -> list[Path]:
    """Write the model to `path`, and beside it a JSON file of what it takes to use it; both paths.

    model: on the CPU, with the plain loop (`model.backend=reference`). Raises UserError for what
    the format cannot carry, a package that is missing, and a file that is there already.
    """
    missing = [name for name in NEEDED[to] if find_spec(name) is None]
    if missing:
        raise UserError(
            f"to={to} needs the package {options(missing)}: install it with "
            "pip install -e '.[export]'"
        )
    beside = path.with_name(f"{path.name}.json")
    for file in (path, beside):
        if file.exists():
            raise UserError(f"{file} is there already: move it away, or name another file")
    if not path.parent.is_dir():
        raise UserError(f"{path}: there is no folder {path.parent}; make it first")
    about = _about(task, cfg, to)
    if to == "safetensors":
        content = _safetensors(model)
        about["weights"] = {name: list(value.shape) for name, value in model.state_dict().items()}
    else:
        step = _step(model, to)
        about |= {"state_size": step.size, "state": "zeros (B, state_size) before the first step"}
        content = {"onnx": _onnx, "torchscript": _torchscript}[to](step)
    try:
        write_bytes(path, content)
        write_text(beside, json.dumps(about, indent=2, ensure_ascii=False) + "\n")
    except OSError as error:
        raise UserError(f"{path} cannot be written ({reason(error)}): name another file") from None
    return [path, beside]


def _step(model: nn.Module, to: str) -> Step:
    if not isinstance(model, SequenceModel):
        raise UserError(
            f"to={to} carries one step of one stack of layers, and this model has an encoder and a "
            "decoder: give to=safetensors, which carries the weights"
        )
    if model.stack.directions == 2:
        raise UserError(
            f"to={to} carries a model step by step, and this one reads in two directions, which "
            "takes the whole sequence: give to=safetensors, which carries the weights"
        )
    return Step(model).eval()


def _example(step: Step, batch: int) -> tuple[Tensor, Tensor]:
    reader, dtype = step.model.reader, step.model.head.weight.dtype
    shape = (batch,) if reader.tokens else (batch, reader.input_size)
    kind = torch.long if reader.tokens else dtype
    return torch.zeros(shape, dtype=kind), torch.zeros(batch, step.size, dtype=dtype)


def _torchscript(step: Step) -> bytes:
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(step, _example(step, 3), check_trace=False)
        whole = torch.jit.script(Loop(traced, step.model.last))
        out = BytesIO()
        torch.jit.save(whole, out)
    return out.getvalue()


def _onnx(step: Step) -> bytes:
    batch = torch.export.Dim("batch", min=1)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            step,
            _example(step, 3),
            dynamo=True,
            verbose=False,
            input_names=["input", "state"],
            output_names=["logits", "state_after"],
            dynamic_shapes={"input": {0: batch}, "state": {0: batch}},
            opset_version=OPSET,
        )
    assert program is not None
    content: bytes = program.model_proto.SerializeToString()
    return content


def _safetensors(model: nn.Module) -> bytes:
    from safetensors.torch import save

    content: bytes = save(
        {k: v.detach().clone().contiguous() for k, v in model.state_dict().items()}
    )
    return content


def _about(task: Task, cfg: Any, to: str) -> dict[str, Any]:
    """What a program without Odyssey needs to know."""
    spec, names = task.spec, task.names()
    carried: Sequence[str] = {
        "onnx": ("one step: input and state to logits and state_after; call it once a step",),
        "torchscript": ("forward(input, state) over any number of steps, time first",),
        "safetensors": ("the weights alone: the equations are those of the cell",),
    }[to]
    return {
        "format": to,
        "holds": carried[0],
        "input": spec.input,
        "input_size": spec.input_size,
        "output_size": spec.output_size,
        "head": spec.head,
        "answers": task.answers,
        "names": [n if isinstance(n, (str, int, float)) else str(n) for n in names],
        "task": _plain(task.export()),
        "config": OmegaConf.to_container(cfg, resolve=True),
    }


def _plain(value: Any) -> Any:
    """Values as JSON has them."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value.item() if hasattr(value, "item") else value
