"""What a trained model makes of data: its metrics on a split, its logits for a split or inputs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch
from pytorch_lightning import Trainer
from torch import Tensor, nn

from odyssey.errors import UserError
from odyssey.tasks.base import Batch, Other, Pass, Split, Task
from odyssey.training.build import PRECISIONS
from odyssey.training.module import RecurrentModule
from odyssey.training.tables import Tables
from odyssey.training.train import process_settings

MOST_BYTES = 2**31  # of all logits of a prediction, which are kept in memory
# Of a run's further arguments for Lightning's Trainer, those that bear on an evaluation.
KEPT = ("deterministic", "benchmark")


def evaluate(
    model: nn.Module, task: Task, cfg: Any, split: Split, other: Other | None = None
) -> tuple[dict[str, float], Tables]:
    """The task's metrics on a split, as a run's own validation and test compute them; and tables.

    task: with its data. `train` is the batches of the first epoch, without their noise.
    other: data to take in place of the split
    """
    device = next(model.parameters()).device
    further = cfg.trainer.lightning
    given = {key: further[key] for key in KEPT if key in further}
    limit = {"valid": "limit_val_batches", "test": "limit_test_batches"}.get(split, "")
    if limit in further and other is None:
        given["limit_test_batches"] = further[limit]
    with process_settings(cfg):
        module = RecurrentModule(model, _ready(task, cfg, device), cfg)
        trainer = Trainer(
            accelerator="cpu" if device.type == "cpu" else "gpu",
            devices=1,
            precision=PRECISIONS[cfg.trainer.precision],  # type: ignore[arg-type]
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
            **given,
        )
        batches = task.ready(split) if other is None else other.batches
        tables = Tables(task, batches)
        module.items = tables
        try:
            trainer.test(module, dataloaders=Pass(batches, 0, len(batches)), verbose=False)
        except SystemExit as end:  # what Lightning makes of a KeyboardInterrupt
            if isinstance(end.__context__, KeyboardInterrupt):
                raise KeyboardInterrupt from None
            raise
        return dict(module.evaluated), tables


def logits_of_inputs(model: nn.Module, task: Task, cfg: Any, inputs: Any) -> list[Tensor]:
    """Of each sequence its logits (T, K), or (K) of a head at the end, on the CPU.

    inputs: what `task.read` takes. Raises UserError for others.
    """
    device = next(model.parameters()).device
    with process_settings(cfg), precision(cfg, device), torch.inference_mode():
        batch = task.transfer_batch_to_device(task.read(inputs), device, 0)
        if task.spec.head == "decoder":
            return _decoded(model, batch, end=task.spec.output_size - 1)
        logits, _ = model(batch.inputs, batch.lengths, None)
        return _sequences(logits, batch.lengths, task)


def logits_of_split(
    model: nn.Module, task: Task, cfg: Any, split: Split
) -> tuple[list[Tensor], list[Tensor]]:
    """The same of each sequence of a split, in the order of the data; and its targets.

    A streamed text is read in lanes, each a sequence. task: with its data. Raises UserError where
    the logits take more than 2 GiB.
    """
    device = next(model.parameters()).device
    with process_settings(cfg), precision(cfg, device), torch.inference_mode():
        return _of_split(model, _ready(task, cfg, device), split)


def _ready(task: Task, cfg: Any, device: torch.device) -> Task:
    """The task, told where its batches are to be and whether a run overfits one."""
    overfit = cfg.trainer.overfit_batch
    if task.device != device or task.overfit != overfit:
        task.device, task.overfit = device, overfit
        task._ready.clear()
    return task


@contextmanager
def precision(cfg: Any, device: torch.device) -> Iterator[None]:
    """As Lightning's plugins do: bf16 by autocast, 64 as the default type of inputs."""
    if cfg.trainer.precision == "64":
        torch.set_default_dtype(torch.float64)  # `process_settings` puts it back
    with torch.autocast(device.type, torch.bfloat16, cfg.trainer.precision == "bf16-mixed"):
        yield


def _of_split(model: nn.Module, task: Task, split: Split) -> tuple[list[Tensor], list[Tensor]]:
    batches, device = task.ready(split), next(model.parameters()).device
    logits: list[list[Tensor]] = []  # of each batch, its sequences
    targets: list[list[Tensor]] = []
    rows: list[int] = []
    state = None
    for index in range(len(batches)):
        batch = task.transfer_batch_to_device(batches.get(0, index), device, 0)
        carried = state if task.streamed and not batch.reset else None
        more = {} if batch.starts is None else {"starts": batch.starts}
        out, state = model(batch.inputs, batch.lengths, carried, decoder=batch.decoder, **more)
        if not index and out.nbytes * len(batches) > MOST_BYTES:
            raise UserError(
                f"the outputs for {split} would take {out.nbytes * len(batches) / 2**30:.1f} GiB: "
                "give inputs instead, a part of the data at a time"
            )
        lengths = batch.lengths
        if lengths is not None and batch.decoder is not None:
            lengths = lengths + 1  # the end is an answer too
        logits.append(_sequences(out, lengths, task))
        targets.append(_sequences(task.right(batch), lengths, task))
        order = getattr(batches, "order", None)
        rows += order.get(0, index).tolist() if order is not None else []
    if task.streamed:
        return _lanes(logits, targets)
    places = sorted(range(len(rows)), key=rows.__getitem__)
    found, right = list(chain(*logits)), list(chain(*targets))
    return ([found[i] for i in places], [right[i] for i in places]) if rows else (found, right)


def _lanes(
    logits: list[list[Tensor]], targets: list[list[Tensor]]
) -> tuple[list[Tensor], list[Tensor]]:
    """The windows of each lane put together, without what is past the end of a shorter one."""
    found, right = [], []
    for windows, answers in zip(zip(*logits, strict=True), zip(*targets, strict=True), strict=True):
        answer, said = torch.cat(answers), torch.cat(windows)
        if not answer.is_floating_point():  # symbols, of which -1 is none
            answer, said = answer[answer >= 0], said[answer >= 0]
        found.append(said)
        right.append(answer)
    return found, right


def _sequences(values: Tensor, lengths: Tensor | None, task: Task) -> list[Tensor]:
    """(T, B, …) as B of (T, …) without padding; (B, …) of a head at the end as B of (…)."""
    values = values.cpu()
    if task.spec.head == "last":
        return list(values)
    sequences = list(values.transpose(0, 1))
    if lengths is None:
        return sequences
    return [one[:n] for one, n in zip(sequences, lengths.tolist(), strict=True)]


def _decoded(model: nn.Module, batch: Batch, end: int) -> list[Tensor]:
    """Logits where the decoder reads its own likeliest answers, up to the end or length + 1."""
    assert batch.lengths is not None
    decoder = torch.full((1, batch.inputs.shape[1]), end, device=batch.inputs.device)
    for _ in range(int(batch.lengths.max()) + 1):
        logits, _ = model(batch.inputs, batch.lengths, None, decoder=decoder)
        decoder = torch.cat([decoder, logits[-1:].argmax(2)])
    found = []
    for one, said, n in zip(
        logits.transpose(0, 1).cpu(), decoder[1:].T.tolist(), batch.lengths.tolist(), strict=True
    ):
        ended = said.index(end) + 1 if end in said else len(said)
        found.append(one[: min(ended, n + 1)])
    return found
