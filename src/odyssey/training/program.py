"""A run's updates in C: model, loss, gradients, clipping and optimizer without torch's autograd.

`reason_against` says which runs can have a `Program`. It works on the very tensors of the run's
model and of its torch optimizer, so that checkpoints hold what they hold otherwise, and a run may
go on with or without it. Its numbers differ from torch's in their last digits, as sums are in
another order; they do not depend on the number of threads, or on other runs.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from odyssey.cells import Cell
from odyssey.nn import SequenceModel, StackState
from odyssey.recurrence import compiled
from odyssey.recurrence.compiled.buffers import CannotCompile
from odyssey.recurrence.compiled.c import update
from odyssey.recurrence.compiled.schedule import Plan
from odyssey.tasks.base import Batch, Task
from odyssey.training.module import RecurrentModule

# The state of each of torch's optimizers, in the order of update.h.
STATES: Mapping[str, tuple[str, ...]] = {
    "sgd": ("momentum_buffer",),
    "adam": ("exp_avg", "exp_avg_sq"),
    "adamw": ("exp_avg", "exp_avg_sq"),
    "rmsprop": ("square_avg", "momentum_buffer"),
    "adagrad": ("sum",),
}
TOLL = (
    1e8  # operations that one thread makes in the 2 ms that an update by torch takes beside its own
)


def reason_against(module: RecurrentModule, cfg: Any, device: torch.device) -> str | None:
    """Why this run's updates cannot be made in C, as the end of a sentence; None where they can."""
    model, task, t = module.model, module.task, cfg.trainer
    if device.type != "cpu" or t.precision != "32":
        return "they are for float32 on the CPU"
    further = [f"trainer.lightning.{k}" for k in t.lightning]
    if further:
        return f"{further[0]} is Lightning's"
    if cfg.optimizer.kind == "own":
        return f"optimizer._target_={cfg.optimizer._target_} is your own"
    if type(model) is not SequenceModel:
        return "the model has an encoder and a decoder"
    if _has_hooks(model):
        return "the model has hooks, which torch calls"
    if _formula(task) is None:
        return f"the loss of task={task.name} has no formula in C"
    if task.streamed and getattr(cfg.task, "documents", None) is not None:
        return "task.documents resets the state inside a window"
    stack = model.stack
    if stack.chosen(device) != "compiled":
        return f"the cell runs on model.backend={stack.chosen(device)}"
    cell = stack.cells()[0]
    if why := compiled.why_no_kernels(cell, device, torch.float32):
        return why
    plan = _plan_of(cell, training=True)
    if plan.own:
        return "the cell has parameters or buffers beside W, R, b, p and P"
    if len(stack.cells()) > update.MOST_LAYERS:
        return f"there are more than {update.MOST_LAYERS} layers"
    if max(len(plan.step.states), len(plan.groups)) > update.MOST_PARTS:
        return f"the cell has more than {update.MOST_PARTS} states or products"
    if _plan_of(cell, training=False) is not plan:
        return "the cell's step is another in training than in evaluation"
    if not update.contiguous(list(model.parameters())):
        return "the weights are not whole blocks of float32"
    found = update.library()
    return str(found) if isinstance(found, CannotCompile) else None


def _formula(task: Task) -> Callable[[Batch], tuple[str, float]] | None:
    """`task.formula`, where it is that of the class whose loss is in use.

    A class of the user's own has to define it itself: that of its base may not be true of its data.
    """
    kind = type(task)
    if not kind.__module__.startswith("odyssey.") and "formula" not in vars(kind):
        return None
    losses = next(c for c in kind.__mro__ if "loss" in vars(c))
    formulas = next((c for c in kind.__mro__ if "formula" in vars(c)), None)
    if formulas is None or formulas is Task or not issubclass(formulas, losses):
        return None
    return task.formula if task.has_formula() else None


def _plan_of(cell: Cell, *, training: bool) -> Plan:
    """The plan of a cell in training or in evaluation."""
    before = cell.training
    cell.train(training)
    try:
        return compiled.plan_of(cell)
    finally:
        cell.train(before)


def is_faster(module: RecurrentModule) -> bool:
    """Whether C's updates by one thread are expected to take less time than torch's by several."""
    threads = torch.get_num_threads()
    batch = module.task.ready("train").get(0, 0)
    steps, lanes = batch.inputs.shape[:2]
    weights = sum(p.numel() for p in module.parameters())
    # Each weight has a product and an addition a step: once forward, twice backward.
    return 6 * steps * lanes * weights * (1 - 1 / threads) < TOLL


class Program:
    """The updates of one run, some at a time. Made after the run's checkpoint has been restored."""

    def __init__(self, module: RecurrentModule) -> None:
        self.module, self.task = module, module.task
        model: Any = module.model
        self.model = model
        self.library: Any = update.library()
        formula = _formula(self.task)
        assert formula is not None
        self.formula = formula
        self.kept: list[Any] = []  # what the structs point to
        optimizer = module.configure_optimizers()
        # A scheduler would warn that the optimizer has made no step: it is made in C.
        optimizer._opt_called = True  # type: ignore[attr-defined]
        group = optimizer.param_groups[0]
        kind = module.optimizer_cfg.kind
        self.parameters = list(model.parameters())
        sizes = [p.numel() for p in self.parameters]
        self.gradients = torch.zeros(sum(-(-n // 16) * 16 for n in sizes))
        views, at = {}, 0
        for parameter, size in zip(self.parameters, sizes, strict=True):
            views[id(parameter)] = self.gradients[at : at + size].view_as(parameter)
            at += -(-size // 16) * 16
        self.views = views
        stack = model.stack
        layers = []
        for cell in stack.cells():
            plan = _plan_of(cell, training=True)
            engine: Any = compiled.engine_for(plan, torch.device("cpu"), torch.float32, "ieee")
            layer, kept = update.layer_of(cell, plan, engine.library, views)
            layers.append(layer)
            self.kept.append(kept)
        layer_array = (update.Layer * len(layers))(*layers)
        weights = (update.Weight * len(sizes))(
            *(_weight(p, views[id(p)], optimizer, kind) for p in self.parameters)
        )
        reader, head = model.reader, model.head
        embedding = None if reader.embedding is None else reader.embedding.weight
        embedded = "embedded" if embedding is not None else "one_hot"
        betas = group.get("betas", (0.0, 0.0))
        clip, threshold = module.clip
        if threshold is None:
            clip = "none"
        self.struct = update.Model(
            len(stack.layers),
            stack.directions,
            update.READERS.index(embedded if reader.tokens else "real"),
            reader.input_size,
            reader.output_size,
            head.out_features,
            int(model.last),
            module.truncation or 0 if not self.task.streamed else 0,
            layer_array,
            None if embedding is None else embedding.data_ptr(),
            head.weight.data_ptr(),
            head.bias.data_ptr(),
            None if embedding is None else views[id(embedding)].data_ptr(),
            views[id(head.weight)].data_ptr(),
            views[id(head.bias)].data_ptr(),
            0,
            update.CLIPS.index(clip),
            update.OPTIMIZERS.index(kind),
            len(sizes),
            weights,
            threshold or 0.0,
            group.get("momentum", 0.0),
            float(bool(group.get("nesterov", False))),
            group["weight_decay"],
            *betas,
            group.get("eps", 0.0),
            group.get("alpha", 0.0),
            None,
        )
        self.dropout = [stack.dropout.p] * (len(stack.layers) - 1) if stack.dropout.p else []
        self.block = torch.empty(0)
        self.largest = (0, 0)
        self.carried: list[Tensor] = []  # of a streamed task, in the order of the C

    # -- updates ------------------------------------------------------------------------------

    def advance(self, count: int) -> int:
        """Make so many updates; fewer where the loss is not finite any more. How many were made."""
        module = self.module
        assert module.optimizer is not None and module.schedule is not None
        group, first = module.optimizer.param_groups[0], module.updates
        batches, size = self.task.ready("train"), module.schedule.batches_per_epoch
        structs = (update.Batch * count)()
        kept = []
        for i in range(count):
            batch = batches.get(*divmod(first + i, size))
            if not module.overfit:
                batch = self.task.perturb(batch)
            kind, scale = self.formula(batch)
            batch = self._fitting(batch, kind)
            structs[i] = self._struct(batch)
            structs[i].scale, structs[i].rate = scale, group["lr"]
            masks = self._masks(batch)
            if masks is not None:
                structs[i].masks = ctypes.addressof(masks[0])
            kept.append((batch, masks))
            if module.decay is not None:
                module.decay.after_update(first + i + 1)
        self.struct.loss = update.LOSSES.index(kind)
        if self.task.streamed:
            self._carry(structs[0].batch)
        self._reserve(structs)
        done = (update.Done * count)()
        made = self.library.train(
            ctypes.byref(self.struct), structs, ctypes.c_int64(count), done, self._memory()
        )
        self._check(made)
        self._note(done, made)
        module.updates += made
        module.stepped, module.rate = True, structs[made - 1].rate
        if self.task.streamed:
            module.carried = self._state(self.carried)
        return made

    def _masks(self, batch: Batch) -> tuple[Any, list[Tensor]] | None:
        """Dropout between the layers of one update, drawn as torch.nn.Dropout draws it."""
        if not self.dropout:
            return None
        steps, lanes = batch.inputs.shape[:2]
        width = self.model.stack.output_size
        drawn = [
            torch.empty(steps, lanes, width).bernoulli_(1 - p).div_(1 - p)
            if p < 1
            else torch.zeros(steps, lanes, width)
            for p in self.dropout
        ]
        return update.pointers(drawn), drawn

    def _note(self, done: Any, made: int) -> None:
        """Add losses, norms and clipping to the module's sums, in the order of the updates."""
        module = self.module
        meter = module.train_meter
        numbers = np.frombuffer(done, np.float32, 3 * made).reshape(made, 3)
        with np.errstate(all="ignore"):
            losses = np.cumsum([np.float32(module.losses), *numbers[:, 0]], dtype=np.float32)
        module.losses = torch.tensor(losses[-1])
        for name, column in zip(("loss", "grad_norm", "clipped"), numbers.T, strict=True):
            # One after another, as the sums of single updates would be.
            total = np.cumsum([float(meter.sums.get(name, 0.0)), *column], dtype=np.float64)[-1]
            meter.sums[name] = torch.tensor(total)
            meter.counts[name] = float(meter.counts.get(name, 0.0)) + made

    def gradients_of(self, batch: Batch) -> tuple[float, list[Tensor]]:
        """The loss of one batch and the gradients of the model's parameters, without an update."""
        kind, scale = self.formula(batch)
        batch = self._fitting(batch, kind)
        self.struct.loss = update.LOSSES.index(kind)
        struct = self._struct(batch)
        struct.scale = scale
        self._reserve([struct])
        loss = ctypes.c_float()
        self._check(
            self.library.gradients(
                ctypes.byref(self.struct), ctypes.byref(struct), ctypes.byref(loss), self._memory()
            )
        )
        return loss.value, [self.views[id(p)].clone() for p in self.parameters]

    # -- evaluation ---------------------------------------------------------------------------

    def forward(self, batch: Batch, state: StackState | None) -> tuple[Tensor, StackState | None]:
        """Logits of a batch as the module's `forward` gives them, without gradients."""
        steps, lanes = batch.inputs.shape[:2]
        shape = (lanes,) if self.model.last else (steps, lanes)
        found = torch.empty(*shape, self.struct.outputs)
        return found, self._evaluate(batch, state, found.data_ptr(), None)

    def scores(
        self, batch: Batch, state: StackState | None
    ) -> tuple[Mapping[str, tuple[float, float]], StackState | None] | None:
        """The task's scores of a batch, where they follow from the loss alone; else None."""
        if self.task.added or self.task.formula_scores(0.0, batch) is None:
            return None
        loss = ctypes.c_float()
        after = self._evaluate(batch, state, None, ctypes.byref(loss))
        found = self.task.formula_scores(loss.value, batch)
        assert found is not None
        return found, after

    def _evaluate(
        self, batch: Batch, state: StackState | None, logits: int | None, loss: Any
    ) -> StackState | None:
        """The state after a batch, whose logits or loss are written where these point to."""
        kind, _ = self.formula(batch)
        batch = self._fitting(batch, kind)
        lanes = batch.inputs.shape[1]
        self.struct.loss = update.LOSSES.index(kind)
        struct = self._struct(batch)
        after: StackState | None = None
        before = self.struct.carried
        if self.task.streamed:
            struct.reset = int(state is None)
            flat = [v.clone() for v in self._flat(state, lanes)]
            places = update.pointers(flat)
            self.struct.carried = ctypes.addressof(places)
            after = self._state(flat)
        self._reserve([struct])
        place = None if logits is None else ctypes.c_void_p(logits)
        failed = self.library.evaluate(
            ctypes.byref(self.struct), ctypes.byref(struct), place, loss, self._memory()
        )
        self.struct.carried = before
        self._check(failed)
        return after

    def _check(self, returned: int) -> None:
        """Raise an error for what a function of the library returns in place of a result."""
        if returned == update.OUT_OF_RANGE:
            raise IndexError(
                f"task={self.task.name} has a batch with a token that is not from 0 to "
                f"{self.struct.inputs - 1}, a class above {self.struct.outputs - 1}, or a length "
                "that is not from 1 to T"
            )
        if returned == update.NO_MEMORY:
            raise MemoryError("a compiled cell found no memory for its loop")

    # -- memory -------------------------------------------------------------------------------

    def _fitting(self, batch: Batch, kind: str) -> Batch:
        """The batch with its tensors in one piece each, of the types that the C reads.

        Raises ValueError where the targets are not as many as the loss `kind` takes.
        """
        real = self.struct.reader == update.READERS.index("real")
        inputs = batch.inputs.to(torch.float32 if real else torch.int64).contiguous()
        counts = kind == "categorical"
        targets = batch.targets.to(torch.int64 if counts else torch.float32).contiguous()
        steps, lanes = inputs.shape[:2]
        wanted = (lanes if self.struct.at_end else steps * lanes) * (
            1 if counts else self.struct.outputs
        )
        if targets.numel() != wanted:
            raise ValueError(
                f"task={self.task.name} has targets {tuple(batch.targets.shape)}, and its formula "
                f"takes {wanted:,} of them"
            )
        return batch._replace(inputs=inputs, targets=targets)

    def _struct(self, batch: Batch) -> update.Batch:
        inputs, targets = batch.inputs, batch.targets
        return update.Batch(
            inputs.shape[0],
            inputs.shape[1],
            int(batch.reset or not self.task.streamed),
            inputs.data_ptr(),
            targets.data_ptr(),
            None if batch.lengths is None else batch.lengths.data_ptr(),
            None,
            1.0,
            0.0,
        )

    def _reserve(self, structs: Iterable[update.Batch]) -> None:
        """Have memory for the largest of these batches."""
        shapes = [(s.steps, s.batch) for s in structs]
        steps = max(self.largest[0], *(s for s, _ in shapes))
        lanes = max(self.largest[1], *(b for _, b in shapes))
        if (steps, lanes) == self.largest:
            return
        self.largest = steps, lanes
        size = self.library.needed(
            ctypes.byref(self.struct), ctypes.c_int64(steps), ctypes.c_int64(lanes)
        )
        if len(self.block) < size + 16:
            self.block = torch.empty(size + 16)

    def _memory(self) -> ctypes.c_void_p:
        """The block, from its first address that is a multiple of 64."""
        return ctypes.c_void_p(-(-self.block.data_ptr() // 64) * 64)

    # -- states -------------------------------------------------------------------------------

    def _carry(self, lanes: int) -> None:
        """Point the C to the states that go from window to window."""
        if self.carried and self.carried[0].shape[0] == lanes:
            return
        self.carried = [v.clone() for v in self._flat(self.module.carried, lanes)]
        places = update.pointers(self.carried)
        self.kept.append(places)
        self.struct.carried = ctypes.addressof(places)

    def _flat(self, state: StackState | None, lanes: int) -> list[Tensor]:
        """The states of all layers, one after another; zeros without any."""
        if state is not None:
            return [v.contiguous() for layer in state for ends in layer for v in ends]
        return [
            torch.zeros(lanes, cell.hidden_size)
            for cell in self.model.stack.cells()
            for _ in cell.state
        ]

    def _state(self, flat: Sequence[Tensor]) -> StackState:
        values = iter(flat)
        return [
            tuple(cell.State(*(next(values) for _ in cell.state)) for cell in layer)
            for layer in self.model.stack.grid()
        ]


def _has_hooks(module: nn.Module) -> bool:
    """Whether somebody wants to see what the model computes, or to change it."""
    names = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")
    return any(getattr(part, name) for part in module.modules() for name in names)


def _weight(
    parameter: nn.Parameter, gradient: Tensor, optimizer: torch.optim.Optimizer, kind: str
) -> update.Weight:
    """The struct of a parameter. What its optimizer keeps is made where no step has been yet."""
    group, state = optimizer.param_groups[0], optimizer.state[parameter]
    momentum = group.get("momentum", 0.0)
    names = [k for k in STATES[kind] if k != "momentum_buffer" or momentum]
    for name in names:
        if state.get(name) is None:
            state[name] = torch.zeros_like(parameter, memory_format=torch.contiguous_format)
    if kind != "sgd" and "step" not in state:
        state["step"] = torch.tensor(0.0)
    kept = [state[name] for name in names]
    assert update.contiguous([parameter.detach(), *kept])
    places = [v.data_ptr() for v in kept] + [None] * (2 - len(kept))
    step = state.get("step")
    return update.Weight(
        parameter.data_ptr(),
        gradient.data_ptr(),
        (ctypes.c_void_p * 2)(*places),
        None if step is None else step.data_ptr(),
        parameter.numel(),
    )
