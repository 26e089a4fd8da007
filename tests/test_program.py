"""Updates in C against torch's: gradients, every optimizer, both clippings, whole runs."""

from __future__ import annotations

import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch

import random_kit
import run_kit
from odyssey import cells
from odyssey.cells import CELLS
from odyssey.errors import UserError
from odyssey.recurrence.compiled.dispatch import clear_cache
from odyssey.tasks.base import Batch
from odyssey.tasks.batching import valid
from odyssey.training.build import build_model, load_task
from odyssey.training.module import RecurrentModule
from odyssey.training.program import Program, reason_against
from odyssey.training.train import make_schedule
from training_kit import settings

CPU = torch.device("cpu")
# Largest difference in shares of the largest value, of sums in another order.
CLOSE = 1e-5
NO_KERNELS = {"lstm_layernorm"}


def made(*words: str, seed: int = 0) -> tuple[RecurrentModule, str | None]:
    """A module of random weights, and why it can have no program."""
    cfg = settings(*words)
    task = load_task(cfg)
    schedule = make_schedule(cfg, task, CPU)
    torch.manual_seed(random_kit.seed(seed))
    module = RecurrentModule(build_model(cfg, task.spec), task, cfg, schedule)
    return module, reason_against(module, cfg, CPU)


def off(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found - wanted).abs().max()) / max(float(wanted.abs().max()), 1e-6)


def by_torch(module: RecurrentModule, batch: Batch) -> tuple[float, torch.Tensor]:
    """Loss and logits; the gradients are in the parameters."""
    module.zero_grad()
    truncation = None if module.task.streamed else module.truncation
    logits, _ = module(batch, truncation=truncation)
    loss = module.task.loss(logits, batch)
    loss.backward()
    return float(loss.detach()), logits.detach()


def assert_same_gradients(*words: str) -> None:
    """Loss, logits and gradients of two batches by C and by torch."""
    module, why = made(*words)
    assert why is None
    program = Program(module)
    for index in range(2):
        batch = module.task.perturb(module.task.ready("train").get(0, index))
        batch = batch._replace(reset=True)
        loss, logits = by_torch(module, batch)
        found, gradients = program.gradients_of(batch)
        assert abs(found - loss) <= CLOSE * abs(loss)
        for gradient, (name, p) in zip(gradients, module.model.named_parameters(), strict=True):
            assert p.grad is not None
            assert off(gradient, p.grad) < CLOSE, name
        again, _ = program.forward(batch, None)
        if batch.lengths is not None and again.dim() == 3:
            within = valid(batch.lengths, len(again), CPU).unsqueeze(2)
            again, logits = torch.where(within, again, 0.0), torch.where(within, logits, 0.0)
        assert off(again, logits) < CLOSE


RAGGED = ("task=music", "task.batch_size=5", "task.input_noise=0.3", "model.num_layers=2")


@pytest.mark.parametrize("cell", sorted(set(CELLS) - NO_KERNELS))
def test_gradients_of_every_cell(cell: str) -> None:
    """Two layers on sequences of unequal length, of an odd size."""
    hidden = int(random_kit.rng("hidden", cell).integers(1, 40))
    assert_same_gradients(*RAGGED, f"cell={cell}", f"model.hidden_size={hidden}")


@pytest.mark.parametrize(
    "words",
    [
        ("task=music", "bptt.length=7", "task.batch_size=3", "task.reduction=sum"),
        ("task=music", "task.first_frame=true", "task.batch_size=1"),
        ("task=synthetic", "task.kind=adding", "model.bidirectional=true", "model.num_layers=2"),
        ("task=synthetic", "task.kind=adding", "task.length=2", "task.batch_size=1"),
        ("task=synthetic", "task.kind=copying"),
        ("task=charlm", "bptt.length=1", "task.batch_size=1"),
        ("task=charlm", "model.num_layers=2"),
        ("task=charlm", "task.reduction=sum", "model.embedding_size=9"),
        ("task=wordlm", "model.embedding_size=7"),
        ("task=sentiment", "model.embedding_size=5", "model.bidirectional=true"),
        ("task=sentiment", "model.embedding_size=null", "cell=mut1"),
        ("task=mnist", "task.batch_size=9", "cell=gru"),
    ],
    ids=" ".join,
)
def test_gradients_of_every_form(words: tuple[str, ...]) -> None:
    """Readers, heads, directions, truncation and losses."""
    cell = () if any(w.startswith("cell=") for w in words) else ("cell=lstm_peephole",)
    assert_same_gradients(*words, *cell, "model.hidden_size=13")


OPTIMIZERS = [
    ("optimizer=sgd", "optimizer.lr=0.1"),
    ("optimizer=sgd", "optimizer.lr=0.1", "optimizer.momentum=0.9", "optimizer.weight_decay=0.01"),
    ("optimizer=sgd", "optimizer.lr=0.1", "optimizer.momentum=0.9", "optimizer.nesterov=true"),
    ("optimizer=adam", "optimizer.lr=0.01", "optimizer.weight_decay=0.02"),
    ("optimizer=adamw", "optimizer.lr=0.01", "optimizer.weight_decay=0.1", "optimizer.beta1=0.8"),
    ("optimizer=rmsprop", "optimizer.lr=0.01", "optimizer.alpha=0.95"),
    ("optimizer=rmsprop", "optimizer.lr=0.01", "optimizer.momentum=0.5"),
    ("optimizer=adagrad", "optimizer.lr=0.1", "optimizer.initial_accumulator=0.1"),
]
CLIPS = [
    ("clip=none",),
    ("clip=norm", "clip.threshold=0.05"),
    ("clip=norm", "clip.threshold=1e6"),
    ("clip=value", "clip.threshold=0.003"),
]


@pytest.mark.parametrize("clip", CLIPS, ids=" ".join)
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=" ".join)
def test_each_update_is_torchs(optimizer: tuple[str, ...], clip: tuple[str, ...]) -> None:
    """Five updates, each from the same weights and the same state of the optimizer."""
    words = (*RAGGED, "cell=gru", "model.hidden_size=11", "decay=exponential", *optimizer, *clip)
    module, why = made(*words)
    assert why is None
    program = Program(module)
    twin, _ = made(*words)
    twin.configure_optimizers()
    for number in range(5):
        twin.model.load_state_dict(module.model.state_dict())
        twin.optimizer.load_state_dict(deepcopy(module.optimizer.state_dict()))
        before = torch.get_rng_state()
        batch = twin.task.perturb(twin.task.ready("train").get(0, number))
        loss, gradients = program.gradients_of(batch)
        torch.set_rng_state(before)
        assert program.advance(1) == 1
        # The same gradients: where a step is g / |g|, those near zero tell nothing.
        for p, gradient in zip(twin.model.parameters(), gradients, strict=True):
            p.grad = gradient
        twin.configure_gradient_clipping(twin.optimizer)
        twin.optimizer.step()
        for (name, p), q in zip(
            module.model.named_parameters(), twin.model.parameters(), strict=True
        ):
            assert off(p.detach(), q.detach()) < CLOSE, (number, name)
        for p, q in zip(module.model.parameters(), twin.model.parameters(), strict=True):
            for key, value in twin.optimizer.state[q].items():
                assert off(module.optimizer.state[p][key], value) < CLOSE, (number, key)
        assert float(module.train_meter.sums["clipped"]) == float(twin.train_meter.sums["clipped"])
        assert off(module.train_meter.sums["grad_norm"], twin.train_meter.sums["grad_norm"]) < CLOSE
        assert abs(float(module.losses) - loss) <= CLOSE * abs(loss)
        module.losses.zero_()


def test_updates_do_not_depend_on_how_many_are_made_at_a_time() -> None:
    """Noise and dropout included, bit for bit."""
    words = (*RAGGED, "cell=lstm", "model.hidden_size=9", "model.dropout=0.4")
    rng = random_kit.rng("parts")
    found = []
    for parts in ([12], [1] * 12, sorted(rng.multinomial(10, [0.5, 0.5]) + 1)):
        module, _ = made(*words)
        program = Program(module)
        torch.manual_seed(5)
        for count in parts:
            assert program.advance(int(count)) == count
        found.append([p.detach().clone() for p in module.model.parameters()])
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_a_state_goes_from_window_to_window() -> None:
    """The gradients of the third window of a text, with the state that two before it leave."""
    module, _ = made("task=charlm", "cell=lstm", "model.hidden_size=12", "optimizer.lr=1e-12")
    program = Program(module)
    program.advance(2)
    batches = module.task.ready("train")
    state = None
    with torch.no_grad():
        for index in range(2):
            _, state = module(batches.get(0, index), state)
    assert module.carried is not None and state is not None
    for ours, theirs in zip(module.carried[0][0], state[0][0], strict=True):
        assert off(ours, theirs) < CLOSE


def test_a_loss_that_is_not_finite_ends_the_updates() -> None:
    words = ("task=music", "cell=irnn", "optimizer=sgd", "optimizer.lr=1e30", "clip=none")
    module, _ = made(*words)
    made_of_them = Program(module).advance(10)
    assert 1 < made_of_them < 10
    assert module.updates == made_of_them and not torch.isfinite(module.losses)


MADE = [word for word in run_kit.SEQUENCES if word != "task.data=jsb"]  # the task's own music


@pytest.mark.parametrize("words", [run_kit.STREAMED, MADE], ids=["text", "music"])
def test_both_loops_train_the_same_run(tmp_path: Path, words: list[str]) -> None:
    """The same lines of metrics, and values that differ by rounding alone in the first updates."""
    if "task=charlm" in words:
        text = run_kit.write_text(tmp_path / "text.txt")
        words = [*words, "task.data=file", f"task.path={text}"]
    for loop in ("compiled", "lightning"):
        more = ("trainer.loop=" + loop, "trainer.max_epochs=null", "trainer.max_steps=45")
        assert run_kit.train(tmp_path / loop, *words, *more) == 0
    ours, theirs = (run_kit.folder(tmp_path / loop) for loop in ("compiled", "lightning"))
    a, b = run_kit.metrics(ours), run_kit.metrics(theirs)
    assert [row[:3] for row in a] == [row[:3] for row in b]
    for one, two in zip(a, b, strict=True):
        allowed = 1e-4 if int(one[0]) < 10 else 5e-2  # differences grow from update to update
        assert float(one[3]) == pytest.approx(float(two[3]), rel=allowed, abs=1e-6), one
    kept = [set(run_kit.record(path)) for path in (ours, theirs)]
    assert kept[0] == kept[1]
    one, two = (
        torch.load(p / "checkpoints" / "last.ckpt", weights_only=True) for p in (ours, theirs)
    )
    assert one.keys() == two.keys()
    assert one["optimizer"]["state"].keys() == two["optimizer"]["state"].keys()
    assert torch.equal(one["random"]["cpu"], two["random"]["cpu"])


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("trainer.precision=64",), "they are for float32 on the CPU"),
        (("cell=lstm_layernorm",), "the cell runs on model.backend=reference"),
        (("model.backend=library",), "the cell runs on model.backend=library"),
        (("trainer.lightning.profiler=simple",), "trainer.lightning.profiler is Lightning's"),
        (("task=charlm", "task.documents=lines"), "task.documents resets the state"),
        (("task=series",), "the loss of task=series has no formula in C"),
        (("task=synthetic", "task.kind=reversal"), "encoder and a decoder"),
    ],
)
def test_why_updates_are_not_made_in_c(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], why: str
) -> None:
    words = ("task=music", "cell=lstm", "model.hidden_size=4", "trainer.loop=compiled", *words)
    words = (*words, "trainer.max_epochs=null", "trainer.max_steps=2")
    assert run_kit.train(tmp_path, *words) == 2
    told = re.sub(r"\s+", " ", "".join(capsys.readouterr()))
    assert "trainer.loop=compiled is not possible" in told and why in told
    assert not list(tmp_path.rglob("*.json"))


def test_a_loss_of_ones_own_has_no_formula() -> None:
    """Though the class it is derived from has one."""
    module, why = made("task=music", "cell=lstm", "model.hidden_size=4")
    assert why is None
    kind = type(module.task)
    module.task.__class__ = type(
        "Mine", (kind,), {"loss": lambda self, logits, batch: logits.sum()}
    )
    why = reason_against(module, settings("task=music", "cell=lstm"), CPU)
    assert why is not None and "no formula" in why


def test_a_wrong_loop_is_refused() -> None:
    with pytest.raises(UserError, match=r"trainer\.loop=fast"):
        settings("trainer.loop=fast")


class Noisy(cells.LSTM):
    """Another step in training than in evaluation."""

    def step(self, x, R, p, s):
        h, c = super().step(x, R, p, s)
        return (0.5 * h if self.training else h), c


def test_a_step_that_depends_on_training_is_not_run_in_c() -> None:
    module, why = made("task=music", "cell._target_=test_program.Noisy", "model.hidden_size=4")
    assert why is not None and "another in training than in evaluation" in why
    assert module.training


def test_a_task_of_ones_own_does_not_inherit_a_formula() -> None:
    """Its targets may be others; but it may say that the formula holds."""
    module, _ = made("task=music", "cell=lstm", "model.hidden_size=4")
    cfg, kind = settings("task=music", "cell=lstm"), type(module.task)
    module.task.__class__ = type("Mine", (kind,), {"__module__": "mine"})
    assert "no formula" in str(reason_against(module, cfg, CPU))
    own = {"__module__": "mine", "formula": lambda self, batch: kind.formula(self, batch)}
    module.task.__class__ = type("Mine", (kind,), own)
    assert reason_against(module, cfg, CPU) is None


@pytest.mark.parametrize(
    ("words", "change"),
    [
        (("task=charlm",), lambda b: b._replace(inputs=b.inputs + 1000)),
        (("task=charlm", "model.embedding_size=3"), lambda b: b._replace(inputs=b.inputs - 1000)),
        (("task=charlm",), lambda b: b._replace(targets=b.targets + 1000)),
        (("task=sentiment",), lambda b: b._replace(targets=b.targets + 2)),
        (("task=music",), lambda b: b._replace(lengths=b.lengths + len(b.inputs))),
        (
            ("task=music",),
            lambda b: b._replace(lengths=b.lengths * (torch.arange(len(b.lengths)) > 0)),
        ),
    ],
)
def test_nothing_outside_of_a_tensor_is_read(words: tuple[str, ...], change: Any) -> None:
    module, why = made(*words, "cell=gru", "model.hidden_size=5")
    assert why is None
    program, batch = Program(module), module.task.ready("train").get(0, 0)
    for call in (program.gradients_of, lambda b: program.forward(b, None)):
        with pytest.raises(IndexError, match=f"task={module.task.name} has a batch with a token"):
            call(change(batch))
    loss, gradients = program.gradients_of(batch)
    assert loss > 0 and all(torch.isfinite(g).all() for g in gradients)


def test_targets_of_another_number_are_refused() -> None:
    module, _ = made("task=music", "cell=gru", "model.hidden_size=5")
    program, batch = Program(module), module.task.ready("train").get(0, 0)
    with pytest.raises(ValueError, match=r"task=music has targets \(\d+, \d+, 44\)"):
        program.gradients_of(batch._replace(targets=batch.targets[:, :, ::2]))


def test_types_that_torch_takes_too_are_converted() -> None:
    """Inputs in float64, targets in another type of whole numbers or floats."""
    for words in (("task=music",), ("task=charlm",)):
        module, _ = made(*words, "cell=gru", "model.hidden_size=5")
        program, batch = Program(module), module.task.ready("train").get(0, 0)
        inputs = batch.inputs.double() if batch.inputs.is_floating_point() else batch.inputs.int()
        targets = batch.targets.to(torch.float64 if words == ("task=music",) else torch.int32)
        other = batch._replace(inputs=inputs, targets=targets)
        assert program.gradients_of(batch)[0] == program.gradients_of(other)[0]


def test_without_a_compiler_torch_makes_the_updates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["cell=lstm", "task=music", "model.hidden_size=4", "trainer.max_steps=3"]
    words += ["trainer.max_epochs=null"]
    monkeypatch.setenv("CC", "/nowhere/cc")
    monkeypatch.setenv("ODYSSEY_KERNELS", str(tmp_path / "kernels"))
    clear_cache()
    try:
        assert run_kit.train(tmp_path / "auto", *words) == 0
        assert run_kit.train(tmp_path / "compiled", *words, "trainer.loop=compiled") == 2
    finally:
        clear_cache()
    assert "trainer.loop=compiled is not possible" in capsys.readouterr().err
    assert run_kit.record(run_kit.folder(tmp_path / "auto"))["loop"] == "lightning"
    monkeypatch.undo()
    assert run_kit.train(tmp_path / "again", *words, "trainer.loop=compiled") == 0
