"""Language models over characters and words."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from odyssey.config.task_schema import TASKS
from odyssey.errors import UserError
from odyssey.tasks import build
from odyssey.tasks.language_model import IGNORED
from tasks_kit import lm, make, means, nats_of

TEXT = "the quick brown fox jumps over the lazy dog; " * 40


def test_vocabulary_is_of_the_training_part_alone(tmp_path):
    task = lm(tmp_path, "ab" * 300 + "cd" * 200)
    assert task.vocabulary.symbols == ("a", "b", "<unk>")
    valid = task.batches("valid").get(0, 0)
    assert set(valid.inputs.unique().tolist()) == {task.vocabulary.unknown}
    with pytest.raises(UserError, match="validation part has 'c', 'd'"):
        lm(tmp_path, "ab" * 300 + "cd" * 200, unknown=False)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_loss_and_metrics_against_numpy(tmp_path, reduction):
    task = lm(tmp_path, TEXT[:997], batch_size=5, reduction=reduction)
    batches = task.batches("train")
    total = count = 0.0
    sums = [0.0, 0.0]
    for index in range(len(batches)):
        batch = batches.get(0, index)
        logits = torch.randn(*batch.targets.shape, task.spec.output_size)
        y = batch.targets.numpy()
        nats = np.where(y == IGNORED, 0, nats_of(logits.double().numpy(), np.maximum(y, 0)))
        number = (y != IGNORED).sum()
        expected = nats.sum() / number if reduction == "mean" else nats.sum(0).mean()
        assert float(task.loss(logits, batch)) == pytest.approx(expected, rel=1e-5)
        total, count = total + nats.sum(), count + number
        a, n = task.scores(logits, batch)["nats"]
        sums = [sums[0] + float(a), sums[1] + float(n)]
    assert count == sums[1] == len(task._ids["train"]) - 1
    found = task.metrics({"nats": sums[0] / sums[1]})
    assert found["nats_per_char"] == pytest.approx(total / count, rel=1e-5)
    assert found["bits_per_char"] == pytest.approx(total / count / math.log(2), rel=1e-5)


def test_uniform_model_has_the_perplexity_of_its_vocabulary(tmp_path):
    task = lm(tmp_path, TEXT, name="wordlm", min_count=1)
    assert set(task.vocabulary.symbols) == set(
        "the quick brown fox jumps over lazy dog ;".split()
    ) | {"<unk>"}
    batch = task.batches("test").get(0, 0)
    size = task.spec.output_size
    logits = torch.zeros(*batch.targets.shape, size)
    assert means(task, logits, batch)["perplexity"] == pytest.approx(size, rel=1e-5)
    assert task.metrics({"nats": 1e9})["perplexity"] == math.inf


def test_min_char_rnn_starts_at_the_log_of_its_alphabet(tmp_path):
    task = lm(
        tmp_path, TEXT, batch_size=1, window=25, unknown=False, reduction="sum", drop_last=True
    )
    batch = task.batches("train").get(0, 0)
    size = len(set(TEXT))
    assert task.spec.output_size == size
    loss = task.loss(torch.zeros(25, 1, size), batch)
    assert float(loss) == pytest.approx(25 * math.log(size), rel=1e-6)
    assert len(task.batches("train")) == (len(task._ids["train"]) - 1) // 25
    assert len(task.batches("valid")) == -(-(len(task._ids["valid"]) - 1) // 25)


def test_decoded_windows_are_the_text(tmp_path):
    text = "Ünïcödé – 我們 🎼. " * 60
    task = lm(tmp_path, text, batch_size=1, eval_batch_size=2, window=11)
    batches = task.batches("train")
    seen = [batches.get(0, i).inputs[:, 0] for i in range(len(batches))]
    decoded = "".join(task.vocabulary.symbols[i] for i in torch.cat(seen).tolist())
    assert text.startswith(decoded)
    assert len(decoded) == len(task._ids["train"]) - 1
    assert task.batches("valid").get(0, 0).inputs.shape == (11, 2)


@pytest.mark.parametrize(
    ("options", "text", "words"),
    [
        ({"batch_size": 100}, TEXT[:200], "train part of task.data=file has 120 characters"),
        ({"eval_batch_size": 21}, TEXT[:200], "valid part.*task.eval_batch_size=20 or less"),
        ({"window": None, "batch_size": 1}, TEXT * 20, "bptt.length=null.*20,000"),
        ({"drop_last": True, "window": 100}, TEXT[:200], "task.drop_last=true.*bptt.length=39"),
        ({"min_count": 10**6}, TEXT, "task.min_count=1000000"),
        ({"sample_prompt": "the Ω"}, TEXT, "task.sample_prompt has 'Ω'"),
    ],
)
def test_texts_that_do_not_fit_are_one_sentence(tmp_path, options, text, words):
    with pytest.raises(UserError, match=words) as error:
        lm(tmp_path, text, **options)
    assert len(error.value.messages) == 1


def test_whole_lane_as_one_window(tmp_path):
    task = lm(tmp_path, TEXT, batch_size=4, window=None)
    assert len(task.batches("train")) == 1
    assert len(task.batches("train").get(0, 0).inputs) == -(-(len(task._ids["train"]) - 1) // 4)


def bigram(task, calls=None):
    """A model that knows the frequency of pairs, and carries how many steps it has read."""
    ids = task._ids["train"].long()
    size = len(task.vocabulary)
    table = torch.full((size, size), 0.01).index_put_((ids[:-1], ids[1:]), torch.ones(1), True)

    def step(inputs, state):
        if calls is not None:
            calls.append((tuple(inputs.shape), state))
        return table.log()[inputs], (state or 0) + len(inputs)

    return step


def test_samples_are_fixed_by_their_seed_and_leave_the_global_generator(tmp_path):
    task = lm(tmp_path, TEXT)
    step = bigram(task)
    before = torch.get_rng_state()
    first, again, other = ("".join(task.sample(step, length=60, seed=seed)) for seed in (1, 1, 2))
    assert first == again != other
    assert len(first) == 60
    assert torch.equal(torch.get_rng_state(), before)


def test_samples_carry_the_state_and_read_the_prompt_once(tmp_path):
    task = lm(tmp_path, TEXT)
    calls = []
    out = list(task.sample(bigram(task, calls), length=3, prompt="fox j"))
    assert len(out) == 3
    assert [shape for shape, _ in calls] == [(5, 1), (1, 1), (1, 1)]
    assert [state for _, state in calls] == [None, 5, 6]


def test_cold_samples_take_the_likeliest(tmp_path):
    task = lm(tmp_path, "abcabcabc" * 50)
    for seed in (0, 1):
        out = task.sample(bigram(task), length=7, temperature=0, prompt="a", seed=seed)
        assert "".join(out) == "bcabcab"


def test_unknown_is_never_drawn(tmp_path):
    task = lm(tmp_path, TEXT, min_count=60)
    step = lambda inputs, state: (torch.zeros(*inputs.shape, len(task.vocabulary)), None)  # noqa: E731
    assert "<unk>" not in list(task.sample(step, length=300))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"prompt": "Q?"}, "'Q', '\\?'"),
        ({"length": 0}, "length=0"),
        ({"temperature": -1.0}, "temperature=-1.0"),
        ({"temperature": math.nan}, "temperature=nan"),
    ],
)
def test_wrong_sampling_is_told_at_once(tmp_path, options, words):
    task = lm(tmp_path, TEXT)
    with pytest.raises(UserError, match=words):
        task.sample(bigram(task), **({"length": 5} | options))


def test_a_model_without_numbers_is_told(tmp_path):
    task = lm(tmp_path, TEXT)
    step = lambda inputs, state: (torch.full((1, 1, len(task.vocabulary)), math.nan), None)  # noqa: E731
    with pytest.raises(UserError, match="not finite"):
        list(task.sample(step, length=1))


@pytest.mark.parametrize("name", ["charlm", "wordlm"])
def test_a_restored_task_samples_the_same_without_its_data(tmp_path, name):
    task = lm(tmp_path, TEXT + "\n", name=name, sample_length=40)
    step = bigram(task)
    path = task.write_sample(step, tmp_path / "at.1000", seed=3)
    assert path == tmp_path / "at.1000.txt"
    again = build(TASKS[name](), data_dir=None, seed=0, window=10)
    again.restore(task.export())
    assert again.spec == task.spec
    out = "".join(again.sample(step, length=40, temperature=0.7, seed=3))
    assert path.read_text() == out + "\n"


def test_shakespeare(shared_data):
    task = make("charlm", data="shakespeare", data_dir=shared_data, window=50, batch_size=50)
    assert task.spec.input_size == 66  # its 65 characters and <unk>
    assert sum(len(ids) for ids in task._ids.values()) == 1115394
    assert task.data["sha256"].startswith("86c4e6aa")
    words = make("wordlm", data="file", path=str(shared_data / "shakespeare/input.txt"))
    assert len(words.vocabulary) > 5000
