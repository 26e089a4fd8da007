"""Seeds of their own for weights, training and split: what they decide, what stays as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from pytorch_lightning import Callback

import random_kit
from odyssey.config.compose import compose
from odyssey.config.identity import run_name
from odyssey.config.seeds import SEED_KEYS, Seeds, are_apart, seeds_of
from odyssey.errors import UserError
from odyssey.training.build import build_model, load_task
from odyssey.training.record import RunRecord
from odyssey.training.record import Seeds as Recorded
from odyssey.training.train import train

# Of the version before there were such seeds.
NAMES = {
    "": "lstm-charlm-6c2ace09",
    "task=mnist": "lstm-mnist-57ddeb14",
    "task=music cell=gru seed=3": "gru-music-123df82a",
    "task=synthetic optimizer=sgd seed=4294967295": "lstm-synthetic-cbcd1915",
    "task=sentiment decay=cosine": "lstm-sentiment-c99f1257",
}
TINY = [
    *("task=synthetic", "task.kind=adding", "task.length=6", "task.train_size=24"),
    *("task.batch_size=8", "task.eval_size=9", "model.hidden_size=4", "trainer.max_epochs=1"),
    *("logger.mode=disabled", "device=cpu", "trainer.threads=1", "trainer.progress_bar=false"),
    *("model.backend=reference", "trainer.sample=false"),
]


@pytest.mark.parametrize("words", NAMES)
def test_where_none_is_set_runs_are_called_as_before(words: str) -> None:
    assert run_name(compose(words.split())) == NAMES[words]


def test_each_is_part_of_the_identity_if_it_is_set() -> None:
    names = {w: run_name(compose(w.split())) for w in ("", *(f"{k}=5" for k in SEED_KEYS[:3]))}
    names["split"] = run_name(compose(["task=mnist", "seeds.split=5"]))
    names["mnist"] = run_name(compose(["task=mnist"]))
    names["apart"] = run_name(compose(["seeds.init=0"]))  # noise and dropout are others
    assert len(set(names.values())) == len(names)
    # What gives the same result is the same run.
    same = ["seeds.init=5", "seeds.init=5 seeds.order=0", "seed=9 seeds.init=5 seeds.order=0"]
    assert len({run_name(compose(words.split())) for words in same}) == 1
    assert run_name(compose(["task=mnist", "seeds.split=0"])) == names["mnist"]


def test_they_follow_the_seed_where_they_are_not_set() -> None:
    assert seeds_of(compose(["seed=7"])) == Seeds(7, 7, 0)
    assert seeds_of(compose(["seed=7", "seeds.order=2"])) == Seeds(7, 2, 0)
    assert not are_apart(compose(["seed=7"])) and are_apart(compose(["seeds.order=0"]))
    earlier = OmegaConf.create({"seed": 4})  # a configuration without the section
    assert seeds_of(earlier) == Seeds(4, 4, 0) and not are_apart(earlier)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("seeds.init=-1", "seeds.init=-1 is out of range: type a number from 0 to 4294967295"),
        ("seeds.order=4294967296", "seeds.order=4294967296 is out of range"),
        ("seeds.split=x", "seeds.split=x is not a whole number"),
        ("seed.init=1", "seed.init=1 is not an option: type seeds.init=1"),
        ("seeds.split=0", "seeds.split=0 is without effect with task=charlm, whose parts are str"),
        ("task=music task.data=jsb seeds.split=2", "whose data, jsb, come in three parts"),
        ("task=sentiment task.data=sst2 seeds.split=2", "whose data, sst2, come in three parts"),
        ("task=series seeds.split=2", "seeds.split=2 is without effect with task=series as it is"),
    ],
)
def test_a_seed_that_is_none_or_without_effect_is_a_sentence(words: str, sentence: str) -> None:
    with pytest.raises(UserError) as error:
        compose(words.split())
    assert sentence in str(error.value)


def test_a_folder_of_three_tables_has_no_split_to_draw(tmp_path: Path) -> None:
    for name in ("train", "valid", "test"):
        (tmp_path / f"{name}.csv").write_text("text,label\na b,x\nb c,y\n")
    words = ["task=sentiment", "task.data=csv", f"task.path={tmp_path}"]
    compose(words)
    with pytest.raises(UserError, match="which reads three parts as they are: leave it out"):
        compose([*words, "seeds.split=1"])


def _parts(words: list[str], batches: int = 2) -> dict[str, Any]:
    task = load_task(compose(words))
    found = {}
    for split in ("train", "valid", "test"):
        some = task.ready(split)  # type: ignore[arg-type]
        found[split] = [some.get(0, i).inputs for i in range(min(batches, len(some)))]
    return {**found, "data": task.data}


def _same(one: Any, other: Any) -> bool:
    return len(one) == len(other) and all(
        a.shape == b.shape and torch.equal(a, b) for a, b in zip(one, other, strict=True)
    )


def _table(folder: Path, rng: np.random.Generator) -> list[str]:
    lines = [f"{i},{rng.random():.6f},{rng.random():.6f}" for i in range(23) for _ in range(3)]
    (folder / "table.csv").write_text("\n".join(["id,x,y", *lines]) + "\n")
    options = "{sequence: id, inputs: [x], targets: [y], scale: false}"
    return ["task.data=file", f"task.path={folder / 'table.csv'}", f"task.options={options}"]


@pytest.mark.parametrize("task", ["mnist", "music", "synthetic", "series", "csv"])
def test_the_split_is_drawn_anew_and_the_data_stay_the_same(task: str, tmp_path: Path) -> None:
    rng = random_kit.rng()
    words = [f"task={task}"]
    if task == "series":
        words += _table(tmp_path, rng)
    if task == "csv":
        rows = [f"word{i} word{rng.integers(9)},{'xy'[i % 2]}" for i in range(60)]
        (tmp_path / "t.csv").write_text("\n".join(["text,label", *rows]) + "\n")
        words = ["task=sentiment", "task.data=csv", f"task.path={tmp_path / 't.csv'}"]
        words += ["task.min_count=1"]
    drawn = int(rng.integers(1, 2**32))
    usual, zero, other, again = (
        _parts([*words, *more])
        for more in ([], ["seeds.split=0"], *([[f"seeds.split={drawn}"]] * 2))
    )
    assert usual["data"] == other["data"]
    for split in ("valid", "test"):
        assert _same(usual[split], zero[split]) and _same(other[split], again[split])
        assert not _same(usual[split], other[split])


def test_weights_and_training_have_seeds_of_their_own() -> None:
    """The first weights follow from `init` alone, the sequences of training from `order`."""
    one, two = (int(n) for n in random_kit.rng().choice(10**6, 2, replace=False))

    def first(words: list[str]) -> list[torch.Tensor]:
        cfg = compose([*TINY, *words])
        task = load_task(cfg)
        torch.manual_seed(seeds_of(cfg).init)
        return list(build_model(cfg, task.spec).state_dict().values())

    apart = [f"seeds.init={one}", f"seeds.order={two}"]
    assert _same(first(apart), first([f"seed={one}"]))
    assert not _same(first(apart), first([f"seed={two}"]))
    batches = [
        load_task(compose([*TINY, *words])).ready("train").get(0, 1).targets
        for words in (apart, [f"seed={two}"], [f"seed={one}"])
    ]
    assert torch.equal(batches[0], batches[1]) and not torch.equal(batches[0], batches[2])


class _Generator(Callback):
    """Keeps what torch's generator would give when training begins."""

    def on_train_start(self, trainer: Any, module: Any) -> None:
        before = torch.get_rng_state()
        self.weights = [w.clone() for w in module.model.state_dict().values()]
        self.next = torch.rand(4).tolist()
        torch.set_rng_state(before)


def test_a_run_records_them_and_what_is_drawn_in_training_follows_the_order(tmp_path: Path) -> None:
    """Without noise the runs of `seed=s` and of both seeds s are the same, by another name."""
    seed = random_kit.seed() % 1000
    results, drawn = [], []
    for words in (
        f"seed={seed}",
        f"seeds.init={seed} seeds.order={seed}",
        f"seed={seed} seeds.init={seed + 1}",
    ):
        watch = _Generator()
        cfg = compose([*TINY, f"output_dir={tmp_path}", *words.split()])
        results.append(train(cfg, extra=[watch]))
        drawn.append(watch.next)
        torch.manual_seed(seeds_of(cfg).init)
        model = build_model(cfg, load_task(cfg).spec)
        assert _same(watch.weights, list(model.state_dict().values()))
        if not are_apart(cfg):  # one generator, as ever
            assert torch.rand(4).tolist() == watch.next
    plain, apart, other = results
    assert plain.metrics == apart.metrics != other.metrics
    assert len({result.folder for result in results}) == 3
    assert drawn[1] == drawn[2] != drawn[0]  # the same noise and dropout for any weights
    torch.manual_seed(seed)
    assert torch.rand(4).tolist() == drawn[1]
    record = RunRecord.load((other.folder / "run.json").read_text())
    assert record.seed == seed and record.seeds == Recorded(seed + 1, seed, 0)
