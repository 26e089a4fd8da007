"""`scripts/sample.py` on runs that were really trained: text."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

import odyssey
from odyssey.training.sampling import load, main
from run_kit import ROOT, folder, train, write_text

FAST = [
    "model.hidden_size=24",
    "bptt.length=20",
    "task.batch_size=4",
    "task.eval_batch_size=4",
    "optimizer.lr=0.02",
    "trainer.max_steps=150",
    "trainer.max_epochs=null",
    "trainer.val_every=75",
    "task.sample_length=20",
]


# Twelve lines that would be nine to the eleventh values.
LAUGHS = "a0: &a0 [x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
)


@pytest.fixture(scope="module")
def charlm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has learned a little text by heart, whose data is gone."""
    out = tmp_path_factory.mktemp("charlm")
    text = write_text(out / "text.txt", 4000)
    assert train(out, "task=charlm", "task.data=file", f"task.path={text}", *FAST) == 0
    text.unlink()
    return folder(out)


@pytest.fixture(scope="module")
def wordlm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wordlm")
    text = write_text(out / "text.txt", 4000)
    given = ["task=wordlm", "task.data=file", f"task.path={text}", "model.num_layers=2"]
    assert train(out, *given, "cell=gru", *FAST) == 0
    return folder(out)


def sampled(capsys: pytest.CaptureFixture[str], run: Path, *options: str) -> str:
    """What is on standard output, and nothing on the other one. Of seed 0, if none is given."""
    capsys.readouterr()
    seed = [] if "--seed" in options else ["--seed", "0"]
    assert main([str(run), *options, *seed]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def test_the_same_seed_gives_the_same_text(
    charlm: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--prompt", "the cell", "--length", "200"]
    first = sampled(capsys, charlm, *options, "--seed", "7")
    torch.rand(3)  # the global generator has no part in it
    assert sampled(capsys, charlm, *options, "--seed", "7") == first
    assert sampled(capsys, charlm, *options, "--seed", "8") != first

    assert first.startswith("the cell") and first.endswith("\n")
    assert len(first) == len("the cell") + 200 + 1
    # It has learned to write these words, not just these letters.
    assert sum(word in first.split() for word in ("cell", "reads", "gate,", "forgets;")) >= 3


def test_without_a_seed_each_text_is_another_and_can_be_repeated(charlm: Path, capsys) -> None:
    texts, words = [], ["--length", "60", "--temperature", "1"]
    for _ in range(2):
        assert main([str(charlm), *words]) == 0
        out, err = capsys.readouterr()
        seed = err.removeprefix("--seed ").removesuffix(" repeats it\n")
        assert (
            sampled(capsys, charlm, "--length", "60", "--temperature", "1", "--seed", seed) == out
        )
        texts.append(out)
    assert texts[0] != texts[1]


def test_defaults_are_the_runs_own(charlm: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(sampled(capsys, charlm)) == 20 + 1
    last = sorted((charlm / "samples").glob("*.txt"))[-1].read_text()
    assert sampled(capsys, charlm, "--checkpoint", "last") == last


@pytest.mark.slow
@pytest.mark.parametrize("which", ["charlm", "wordlm"])
def test_the_carried_state_equals_one_pass(
    which: str, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    run = request.getfixturevalue(which)
    prompt = "so it goes"
    text = sampled(capsys, run, "--prompt", prompt, "--length", "47", "--temperature", "0")
    trained = load(run)
    task = trained.task
    ids = task.vocabulary.prompt(task.symbols(text[:-1]))  # type: ignore[attr-defined]
    start = len(task.symbols(prompt))  # type: ignore[attr-defined]
    assert len(ids) == start + 47
    logits, _ = trained.step(torch.tensor(ids).unsqueeze(1), None)
    logits = logits.clone()
    logits[:, :, task.vocabulary.unknown] = -torch.inf  # type: ignore[attr-defined]
    assert logits[start - 1 : -1, 0].argmax(1).tolist() == ids[start:]


def test_words_are_put_together(wordlm: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = sampled(capsys, wordlm, "--prompt", "the cell", "--length", "61", "--seed", "2")
    assert text.startswith("the cell ") and "gate," in text and "<" not in text


def test_a_run_on_the_gpu_or_not(charlm: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if torch.cuda.is_available():
        assert len(sampled(capsys, charlm, "--device", "cuda", "--length", "9")) == 10
    else:
        assert main([str(charlm), "--device", "cuda"]) == 2
        assert "no GPU" in capsys.readouterr().err
    assert len(sampled(capsys, charlm, "--device", "cpu", "--length", "9")) == 10


def test_a_run_still_going_on_can_be_sampled(
    charlm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    for name in ("config.yaml", "run.json", "checkpoints/best.ckpt"):
        (run / name).write_bytes((charlm / name).read_bytes())
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(record | {"status": "running"}))
    assert sampled(capsys, run, "--seed", "3") == sampled(capsys, charlm, "--seed", "3")


WRONG = [
    (["--length", "0"], "--length 0 is out of range"),
    (["--length", "-5"], "--length -5 is out of range"),
    (["--length", "ten"], "--length: invalid int value: 'ten'"),
    (["--temperature", "-0.1"], "--temperature -0.1 is out of range"),
    (["--temperature", "nan"], "--temperature nan is out of range"),
    (["--seed", "-1"], "--seed -1 is out of range"),
    (["--checkpoint", "first"], "invalid choice: 'first'"),
    (["--prompt", "the Zebra"], "the prompt has 'Z', 'b', which the model never learned"),
    (["--top-k", "0"], "--top-k 0 is out of range"),
    (["--top-p", "0"], "--top-p 0.0 is out of range: type more than 0, at most 1"),
    (["--top-p", "nan"], "--top-p nan is out of range"),
    (["--samples", "0"], "--samples 0 is out of range"),
    (["--stop", ""], "--stop is empty"),
    (["--chat", "--samples", "2"], "--chat answers each line once"),
    (["--output", "x.mid"], "--output is for music"),
    (["--output", "x.wav"], "--output x.wav must end in .mid"),
    (["--output", "no/x.mid"], "there is no folder no"),
    (["--lenght", "3"], "unrecognized arguments: --lenght 3"),
]


@pytest.mark.parametrize(("options", "said"), WRONG, ids=lambda v: v if isinstance(v, str) else "")
def test_wrong_options_are_one_sentence(
    charlm: Path, options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(charlm), *options]) == 2
    out, err = capsys.readouterr()
    assert said in err and err.startswith("error: ") and err.count("\n") == 1 and out == ""


def test_what_is_no_run_is_one_sentence(
    charlm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(*arguments: str) -> str:
        assert main(arguments) == 2
        out, err = capsys.readouterr()
        assert err.startswith("error: ") and err.count("\n") == 1 and out == ""
        return err

    assert "required: RUN" in said()
    assert "there is no such run folder" in said(str(tmp_path / "nowhere"))
    assert "is not a run folder" in said(str(tmp_path))
    assert f"such as {charlm}" in said(str(charlm.parent))
    young = tmp_path / "young"
    (young / "checkpoints").mkdir(parents=True)
    (young / "config.yaml").write_bytes((charlm / "config.yaml").read_bytes())
    assert "no checkpoints/best.ckpt yet" in said(str(young))
    (young / "checkpoints" / "best.ckpt").write_bytes(b"not a checkpoint")
    assert "cannot be read as a checkpoint" in said(str(young))
    config = (charlm / "config.yaml").read_text()
    (young / "checkpoints" / "best.ckpt").write_bytes(
        (charlm / "checkpoints" / "best.ckpt").read_bytes()
    )
    (young / "config.yaml").write_text(config.replace("odyssey.cells.LSTM", "my_gone_cells.Mine"))
    assert "my_gone_cells.Mine, which is no part of Odyssey's" in said(str(young))
    assert "my_gone_cells.Mine, is not to be found" in said(str(young), "--trust")
    (young / "config.yaml").write_text(config.replace("odyssey.cells.LSTM", "odyssey.cells.GRU"))
    assert "do not fit its cell" in said(str(young))
    for text in ("cell: [", LAUGHS):
        (young / "config.yaml").write_text(text)
        assert "config.yaml cannot be read" in said(str(young))


def test_a_task_without_samples_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["task=synthetic", "task.length=5", "task.train_size=8", "task.eval_size=8"]
    assert train(tmp_path, *given, "model.hidden_size=3", "trainer.max_steps=1") == 0
    capsys.readouterr()
    assert main([str(folder(tmp_path))]) == 2
    assert "a run of task=synthetic, which has no samples" in capsys.readouterr().err


@pytest.mark.slow
def test_it_streams_into_a_pipe_until_that_is_closed(charlm: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "scripts/sample.py", str(charlm), "--length", "100000000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout and process.stderr
    assert len(process.stdout.read(50)) == 50  # long before the last characters would come
    process.stdout.close()
    assert process.wait(30) == 0
    assert process.stderr.read() == ""


def test_ctrl_c_ends_it_quietly(charlm: Path, capsys: pytest.CaptureFixture[str]) -> None:
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    assert main([str(charlm), "--length", "100000000"]) == 130
    out, err = capsys.readouterr()
    assert err == "" and out.endswith("\n")


def test_a_mistake_is_said_before_anything_heavy_is_imported() -> None:
    then = time.monotonic()
    code = (
        "import sys; from odyssey.training.sampling import main; "
        "assert main(['nowhere']) == main(['nowhere', '--length', '0']) == 2; "
        "assert not {'torch', 'pytorch_lightning'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - then < 10
    assert os.linesep not in done.stdout


def test_several_samples_are_those_of_the_next_seeds(
    charlm: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--prompt", "the", "--length", "33", "--temperature", "1"]
    printed = sampled(capsys, charlm, *options, "--seed", "7", "--samples", "3")
    alone = [sampled(capsys, charlm, *options, "--seed", str(7 + n)) for n in range(3)]
    headed = [f"== {n + 1} of 3, --seed {7 + n} ==\n{text}" for n, text in enumerate(alone)]
    assert printed == "\n".join(headed)


def test_it_ends_before_a_text(charlm: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--prompt", "the", "--length", "300", "--seed", "3"]
    whole = sampled(capsys, charlm, *options)
    for stop in ("cell", "e c", "\n", "zz"):
        typed = stop.replace("\n", "\\n")
        expected = "the" + whole[3:-1].partition(stop)[0] + "\n"
        assert sampled(capsys, charlm, *options, "--stop", typed) == expected


def test_only_the_likeliest_are_drawn(charlm: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--prompt", "the", "--length", "100", "--temperature", "1.5", "--seed", "3"]
    greedy = sampled(capsys, charlm, *options, "--temperature", "0")
    assert sampled(capsys, charlm, *options, "--top-k", "1") == greedy
    assert sampled(capsys, charlm, *options, "--top-p", "0.0001") == greedy
    whole = sampled(capsys, charlm, *options)
    assert sampled(capsys, charlm, *options, "--top-p", "1") == whole
    assert sampled(capsys, charlm, *options, "--top-k", "1000") == whole
    run = odyssey.load(charlm)
    for more in ({"top_k": 4}, {"top_p": 0.6}, {"top_k": 5, "top_p": 0.9, "stop": "\n"}):
        words = [f"--{name.replace('_', '-')}={value}" for name, value in more.items()]
        there = run.sample("the", length=100, temperature=1.5, seed=3, **more)  # type: ignore[arg-type]
        printed = sampled(capsys, charlm, *options, *(w.replace("\n", "\\n") for w in words))
        assert printed == f"{there}\n" != whole


def test_a_conversation_goes_on_from_each_line(
    charlm: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("the cell\n\n\nZebra\nso it\n"))
    assert main([str(charlm), "--chat", "--length", "20", "--seed", "5"]) == 0
    out, err = capsys.readouterr()
    lines = sampled(capsys, charlm, "--prompt", "the cell", "--length", "60", "--seed", "5")
    longer, last = lines[:-1], sampled(capsys, charlm, "--prompt", "so it", "--seed", "9")
    pieces = [longer[:28], longer[28:48], longer[48:]]
    assert out == "".join(f"{piece}\n" for piece in pieces) + last
    assert err.startswith("error: the prompt has 'Z', 'b'") and err.count("\n") == 1


def test_a_conversation_with_bytes_that_are_no_text(charlm: Path) -> None:
    done = subprocess.run(
        [sys.executable, "scripts/sample.py", str(charlm), "--chat", "--length", "5"],
        input=b"the\n\xff\xfe\n",
        capture_output=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONIOENCODING": "utf-8:strict"},
    )
    assert done.returncode == 2
    assert done.stderr.decode().startswith("error: the input is not UTF-8 text")
