"""What a trained model says of a text symbol by symbol, and of a series that goes on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from odyssey.errors import UserError
from odyssey.tasks.base import Task
from odyssey.training.evaluation import precision
from odyssey.training.train import process_settings

MOST_VALUES = 1 << 22  # of the logits that are held at a time
MOST_STEPS = 10_000  # that are read at a time


@dataclass(frozen=True)
class Reading:
    """A text as a language model read it.

    symbols: N characters or words. bits: minus log2 of the probability that each had, (N). known:
    whether the vocabulary has it, (N); the bits of one that it lacks are those of `<unk>`, or
    infinite without it. after: the probabilities of what comes next, (K), for `names`.
    """

    symbols: Sequence[str]
    bits: NDArray[np.float64]
    known: NDArray[np.bool_]
    after: NDArray[np.float64]
    names: Sequence[str]


def read_on(model: nn.Module, task: Task, cfg: Any, text: str) -> Reading:
    """Read a text from its first symbol, which is predicted after the start of a line.

    With `task.documents` the first symbol of each document is predicted after the end of one, from
    a state of zero.

    task: a language model, restored. Raises UserError for other tasks.
    """
    from odyssey.tasks.language_model import LanguageModel

    if not isinstance(task, LanguageModel):
        raise UserError(f"task={task.name} predicts no text: give a run of charlm or wordlm")
    known = task.vocabulary
    symbols = task.symbols_from_start(text)
    if known.unknown is None:
        known.prompt(symbols, "the text")  # raises for those that it lacks
    ids = known.encode(symbols).astype(np.int64)
    inputs = torch.from_numpy(np.concatenate([[known.start], ids]).astype(np.int64))
    targets = torch.from_numpy(ids)
    starts = None if cfg.task.documents is None else inputs == known.start
    device = next(model.parameters()).device
    size = max(1, min(MOST_STEPS, MOST_VALUES // len(known)))
    bits, state = [np.empty(0)], None
    with process_settings(cfg), precision(cfg, device), torch.inference_mode():
        for at in range(0, len(inputs), size):
            piece = inputs[at : at + size].to(device)
            more = {} if starts is None else {"starts": starts[at : at + size].unsqueeze(1)}
            logits, state = model(piece.unsqueeze(1), None, state, **more)
            likely = torch.log_softmax(logits[:, 0].double(), -1).cpu()
            right = targets[at : at + size]
            found = likely[: len(right)].gather(1, right.unsqueeze(1))[:, 0]
            bits.append((-found / math.log(2)).numpy())
    there = np.array([s in known.ids and known.ids[s] != known.unknown for s in symbols], bool)
    return Reading(
        task.shown(symbols), np.concatenate(bits), there, likely[-1].exp().numpy(), task.names()
    )


def forecast(
    model: nn.Module, task: Task, cfg: Any, path: Path, steps: int | None
) -> tuple[list[str], list[list[Any]]]:
    """What follows the rows of a table, or what its sequences are: a head and rows.

    task: `series`, restored. steps: how many to go on, each from the forecast before; None: the
    one that the model was trained for. Numbers are in the units of the table. Raises UserError.
    """
    from odyssey.tasks.series import Series

    if not isinstance(task, Series):
        raise UserError(f"task={task.name} has no forecasts: give a run of series")
    table = task.other_table(path, answers=False)
    if not len(table):
        raise UserError(f"data={path} has no rows: give some to go on from")
    device = next(model.parameters()).device
    centre, width = np.array(task.target_centre), np.array(task.target_width)
    with process_settings(cfg), precision(cfg, device), torch.inference_mode():
        if task.sequence is not None:
            if steps is not None:
                raise UserError("steps is for forecasts of one long series: leave it out")
            return _of_sequences(model, task, table, device, centre, width)
        if steps is not None and steps > 1 and (task.horizon > 1 or task.wanted != task.columns):
            raise UserError(
                f"steps={steps} needs a model that predicts all that it reads one step ahead; this "
                f"one predicts {', '.join(map(str, task.wanted))} at horizon {task.horizon}: leave "
                "it out"
            )
        rows: list[list[Any]] = []
        values, state = table[task.columns].to_numpy(float).copy(), None
        for n in range(steps or 1):
            batch = task.transfer_batch_to_device(task.read(values), device, 0)
            logits, state = model(batch.inputs, None, state)
            values = logits[-1].double().cpu().numpy() * width + centre
            rows.append([len(table) + task.horizon + n, *values[0].tolist()])
        return ["row", *map(str, task.wanted)], rows


def _of_sequences(
    model: nn.Module, task: Any, table: Any, device: Any, centre: Any, width: Any
) -> tuple[list[str], list[list[Any]]]:
    rows: list[list[Any]] = []
    for name, group in table.groupby(task.sequence, sort=True):
        batch = task.transfer_batch_to_device(
            task.read(group[task.columns].to_numpy(float).copy()), device, 0
        )
        logits = model(batch.inputs, batch.lengths, None)[0][0].double().cpu()
        if task.classes_:
            likely = torch.softmax(logits, -1)
            rows.append([name, task.labels[int(likely.argmax())], *likely.tolist()])
        else:
            rows.append([name, *(logits.numpy() * width + centre).tolist()])
    names = list(map(str, task.names()))
    kept = ["label", *(f"p({n})" for n in names)] if task.classes_ else names
    return [str(task.sequence), *kept], rows
