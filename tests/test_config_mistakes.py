"""One wrong thing on the command line: one sentence, exit status 2, and nothing written."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from odyssey.cli import main

CELLS = "lstm, lstm_layernorm, lstm_peephole, mgu"
SECTIONS = "bptt.*, callbacks, cell, clip"
JARGON = ("Traceback", "hydra", "Hydra", "override", "full_key", "ConfigKey", "struct", "OmegaConf")

# The command line, how its sentence begins, and what it must hold besides.
WRONG = [
    # groups
    ("cell=lstmm", "cell=lstmm is unknown (did you mean 'lstm'?)", CELLS),
    ("cell=LSTM", "cell=LSTM is unknown (did you mean 'lstm'?)", CELLS),
    ("cell=", "cell= is empty", CELLS),
    ("cell=null", "cell=null is not allowed", CELLS),
    ("cell=[lstm]", "cell=[lstm] is unknown", CELLS),
    (
        "task=chralm",
        "task=chralm is unknown (did you mean 'charlm'?)",
        "music, own, sentiment",
    ),
    ("optimizer=adamm", "optimizer=adamm is unknown (did you mean 'adam'?)", "rmsprop, sgd"),
    ("clip=normm", "clip=normm is unknown (did you mean 'norm'?)", "none, norm, value"),
    ("decay=3", "decay=3 is unknown", "cosine, exponential, none, own, plateau"),
    ("experiment=nope", "experiment=nope is unknown", "min_char_rnn"),
    ("debug=overfitt", "debug=overfitt is unknown (did you mean 'overfit'?)", "overfit"),
    ("task=charlm task=mnist", "task is given twice, as charlm and mnist", "type it once"),
    ("clip.kind=none", "clip.kind=none is not allowed", "type clip= and one of none, norm, value"),
    ("optimizer.kind=sgd", "optimizer.kind=sgd is not allowed", "type optimizer="),
    ("task.name=mnist", "task.name=mnist is not allowed", "type task="),
    # keys
    ("model.hidden_sise=3", "model.hidden_sise=3 is not an option", "'model.hidden_size'"),
    ("hidden_size=10", "hidden_size=10 is not an option", "type model.hidden_size=10"),
    ("lr=0.1", "lr=0.1 is not an option", "type optimizer.lr=0.1"),
    ("model.lr=0.1", "model.lr=0.1 is not an option", "type optimizer.lr=0.1"),
    ("tempo=60", "tempo=60 is not an option", "type task.tempo=60 with task=music"),
    ("max_epoch=3", "max_epoch=3 is not an option", "did you mean 'trainer.max_epochs'"),
    ("foo=", "foo= is not an option", SECTIONS),
    ("config=foo", "config=foo is not an option", SECTIONS),
    ("Cell=lstm", "Cell=lstm is not an option", "did you mean 'cell'"),
    ("cell/foo=3", "cell/foo=3 is not an option", SECTIONS),
    ("cell@foo=lstm", "cell@foo=lstm is not an option", SECTIONS),
    ("schema/cell=x", "schema/cell=x is not an option", SECTIONS),
    ("task.data.foo=3", "task.data.foo=3 is not an option", "'task.data'"),
    ("model={hidden_sise:3}", "model={hidden_sise:3} is not an option", "'model.hidden_size'"),
    (
        "optimizer.momentum=0.9",
        "optimizer.momentum=0.9 is not an option of optimizer=adam",
        "type optimizer=sgd or optimizer=rmsprop with it, or one of optimizer.beta1",
    ),
    ("task.order=rows", "task.order=rows is not an option of task=charlm", "type task=mnist with"),
    ("optimizer.lr=1 optimizer.lr=2", "optimizer.lr is given twice, as 1 and 2", "type it once"),
    # the form of a word
    ("+foo=1", "+foo=1 is not an option", SECTIONS),
    ("++lr=1", "++lr=1 is not an option", "type optimizer.lr=1"),
    ("+seed=1", "+seed=1 is not allowed", "type seed=1 without the '+'"),
    ("~clip", "~clip is not allowed", "leave it out"),
    ("foo", "foo is not a setting", "write key=value"),
    ("lstm", "lstm is not a setting", "type cell=lstm"),
    ("cell", "cell is not a setting", CELLS),
    ("seed", "seed is not a setting", "type seed= and its value"),
    ("=3", "=3 is not a setting", "write key=value"),
    ("cell = lstm", "cell = lstm is in pieces", "type cell=lstm without spaces"),
    ("''", "'' is an empty word", "leave it out"),
    ("'task.path={a'", "task.path={a is not readable", """type 'task.path="{a"'"""),
    ("task.data=file task.path=é.txt", "task.path=é.txt is not readable", 'task.path="é.txt"'),
    ("'task.path=a, b'", "task.path=a, b is several values", """type 'task.path="a, b"'"""),
    ("cell=lstm,gru", "cell=lstm,gru is several values", "type -m"),
    ("seed=range(3)", "seed=range(3) is several values", "type -m"),
    ("'study=${nope}'", "study=${nope} is without a value", "type a value"),
    ("'seed=${study}'", "seed=${study} is without a value", "type a value"),
    ("'logger.tags=${study}'", "logger.tags=${study} is without a value", "type a value"),
    (
        f"task=sentiment task.data=csv task.path={shlex.quote(__file__)} task.encoding=klingon",
        "task.encoding=klingon is not an",
        "type one such",
    ),
    # types
    ("optimizer.lr=abc", "optimizer.lr=abc is not a number", "as in optimizer.lr="),
    ("optimizer.lr=", "optimizer.lr= is not a number", "as in optimizer.lr="),
    ("optimizer.lr=true", "optimizer.lr=true is not a number", "as in optimizer.lr="),
    ("optimizer.lr=[1,2]", "optimizer.lr=[1,2] is not a number", "as in optimizer.lr="),
    ("optimizer.lr={a:1}", "optimizer.lr={a:1} is not a number", "as in optimizer.lr="),
    ("optimizer.lr=null", "optimizer.lr=null is not allowed", "as in optimizer.lr="),
    ("seed=null", "seed=null is not allowed", "type a whole number, as in seed=0"),
    ("seed=abc", "seed=abc is not a whole number", "as in seed=0"),
    ("model.hidden_size=1.5", "model.hidden_size=1.5 is not a whole", "as in model.hidden_size="),
    ("model.hidden_size=1e3", "model.hidden_size=1e3 is not a whole", "model.hidden_size=1000"),
    ("model.hidden_size=[1]", "model.hidden_size=[1] is not a whole number", "as in"),
    ("model={hidden_size:x}", "model={hidden_size:x} is not right for model.hidden_size", "whole"),
    ("bptt.length=abc", "bptt.length=abc is not a whole number", "or null, as in bptt.length="),
    ("bptt=3", "bptt=3 is not allowed for a section", "type bptt.length=3"),
    ("model=3", "model=3 is not allowed for a section", "model.hidden_size"),
    ("model.bidirectional=maybe", "model.bidirectional=maybe is not true or false", "=false"),
    ("trainer.sample=2", "trainer.sample=2 is not true or false", "type trainer.sample=true"),
    ("task.split=3", "task.split=3 is not a list of numbers", "task.split=[0.9,0.05,0.05]"),
    ("study=null", "study=null is not allowed", "type a text, as in study=default"),
    # ranges
    ("optimizer.lr=-1", "optimizer.lr=-1 is out of range", "above 0"),
    ("optimizer.lr=0", "optimizer.lr=0 is out of range", "above 0"),
    ("optimizer.lr=nan", "optimizer.lr=nan is out of range", "above 0"),
    ("optimizer.lr=inf", "optimizer.lr=inf is out of range", "above 0"),
    ("optimizer=sgd optimizer.momentum=1.5", "optimizer.momentum=1.5 is out", "from 0 to below 1"),
    ("optimizer.beta2=1", "optimizer.beta2=1 is out of range", "from 0 to below 1"),
    ("model.hidden_size=0", "model.hidden_size=0 is out of range", "from 1 to 100000"),
    ("model.hidden_size=99999999999", "model.hidden_size=99999999999 is out", "from 1 to 100000"),
    ("model.num_layers=0", "model.num_layers=0 is out of range", "from 1 to 1000"),
    ("model.dropout=1", "model.dropout=1 is out of range", "from 0 to below 1"),
    ("bptt.length=0", "bptt.length=0 is out of range", "of 1 or more"),
    ("bptt.length=1000000000000", "bptt.length=1000000000000 is out", "from 1 to 1000000000"),
    ("trainer.max_steps=0", "trainer.max_steps=0 is out of range", "of 1 or more"),
    ("clip.threshold=-1", "clip.threshold=-1 is out of range", "above 0"),
    ("seed=-1", "seed=-1 is out of range", "from 0 to 4294967295"),
    ("seed=99999999999999999999", "seed=99999999999999999999 is out", "from 0 to 4294967295"),
    ("cell.forget_bias=nan", "cell.forget_bias=nan is out of range", "a finite number"),
    ("decay=cosine decay.final=2", "decay.final=2 is out of range", "from 0 to 1"),
    ("decay=plateau decay.factor=1", "decay.factor=1 is out of range", "between 0 and 1"),
    ("decay=exponential decay.factor=0", "decay.factor=0 is", "above 0"),
    (
        "+loggers='${seed}'",
        "+loggers=${seed} is not possible, since",
        "loggers.NAME=…",
    ),
    ("task.sample_length=1000001", "task.sample_length=1000001 is out of", "from 1 to 1000000"),
    ("task.batch_size=10000000", "task.batch_size=10000000 is out of", "from 1 to 1000000"),
    ("model.num_layers=1001", "model.num_layers=1001 is out of range", "from 1 to 1000"),
    ("task.batch_size=0", "task.batch_size=0 is out of range", "of 1 or more"),
    # words of a choice
    ("logger.mode=onlin", "logger.mode=onlin is unknown (did you mean 'online'?)", "offline"),
    ("device=tpu", "device=tpu is unknown", "auto, cpu, cuda"),
    ("resume=maybe", "resume=maybe is unknown", "auto, force, never"),
    ("trainer.precision=16", "trainer.precision=16 is unknown", "32, 64, bf16-mixed, tf32"),
    ("model.backend=fast", "model.backend=fast is unknown", "auto, compiled, library, reference"),
    ("cell.init.recurrent=orthogonall", "cell.init.recurrent=orthogonall is", "'orthogonal'"),
    ("task.data=shakespear", "task.data=shakespear is unknown", "did you mean 'shakespeare'"),
    # combinations
    ("clip=none clip.threshold=3", "clip.threshold=3 is without effect with clip=none", "norm"),
    ("clip.threshold=null", "clip.threshold=null is not allowed with clip=norm", "clip=none"),
    ("model.dropout=0.5", "model.dropout=0.5 is without effect with", "model.num_layers=2"),
    ("model.init.scale=0.1", "model.init.scale=0.1 is without", "model.init.kind=uniform"),
    ("model.init.kind=uniform", "model.init.kind=uniform is without", "model.init.scale=0.1"),
    (
        "model.init.kind=orthogonal model.init.bias=normal",
        "model.init.bias=normal is without",
        "model.init.scale=0.1",
    ),
    ("cell.init.bias_scale=1", "cell.init.bias_scale=1 is without", "cell.init.bias=uniform"),
    ("trainer.max_epochs=null", "trainer.max_epochs=null is endless", "trainer.max_epochs=5"),
    ("model.bidirectional=true", "model.bidirectional=true is not allowed with task=charlm", "fal"),
    ("task=music model.bidirectional=true", "model.bidirectional=true is not allowed with", "fal"),
    (
        "task=synthetic task.kind=reversal model.bidirectional=true",
        "model.bidirectional=true is not allowed with task=synthetic task.kind=reversal",
        "type model.bidirectional=false",
    ),
    ("task=mnist model.embedding_size=4", "model.embedding_size=4 is without effect with", "null"),
    ("task=synthetic model.embedding_size=4", "model.embedding_size=4 is without effect", "null"),
    (
        "trainer.precision=bf16-mixed device=cpu",
        "trainer.precision=bf16-mixed is for GPUs",
        "trainer.precision=32",
    ),
    ("cell=rnn cell.forget_bias=1", "cell.forget_bias=1 is without effect, since Elman", "=null"),
    (
        "cell=lstm_peephole model.backend=library",
        "model.backend=library is not possible with PeepholeLSTM",
        "type one of auto, compiled, reference",
    ),
    # places
    ("study=a/b", "study=a/b is not a plain folder name", "study=first"),
    ("study=''", "study= is not a plain folder name", "study=first"),
    ("study=..", "study=.. is not a plain folder name", "study=first"),
    ("study=wandb", "study=wandb is not a plain folder name", "study=first"),
    ("output_dir=", "output_dir= is not a folder", "type one"),
    ("output_dir=a_file", "output_dir=a_file is not a folder", "type a folder"),
    ("output_dir=a_file/b", "output_dir=a_file/b is not a folder", "a_file is a file"),
    ("data_dir=a_file", "data_dir=a_file is not a folder", "type a folder"),
    ("task.data=file", "task.data=file needs a file", "task.path="),
    ("task.path=a_file", "task.path=a_file is not read with task.data=kjv", "task.data=file"),
    ("task.data=file task.path=nope", "task.path=nope is not there", "type the path of a file"),
    ("task.data=file 'task.path=a b'", "task.path=a b is not there", "type the path of a file"),
    ("task.data=file task.path=.", "task.path=. is a folder without", "train.txt"),
    # flags
    ("--foo", "--foo is not an option", "--help"),
    ("-x", "-x is not an option", "--help"),
    ("--lr 0.1", "--lr is not an option", "type optimizer.lr=0.1"),
    ("--cell=lstm", "--cell=lstm is not an option", "type cell=lstm"),
]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a_file").write_text("some text\n")


@pytest.mark.parametrize(("command", "start", "holds"), WRONG, ids=[w[0] for w in WRONG])
def test_one_mistake_is_one_sentence(command, start, holds, capsys):
    assert main(shlex.split(command)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1, err
    assert err.startswith(f"error: {start}"), err
    assert holds in err
    assert ": " in err.removeprefix("error: ")  # what is wrong, then what to do
    assert not any(word in err for word in JARGON)
    assert [p.name for p in Path().iterdir()] == ["a_file"]


def test_a_gpu_that_is_not_there(capsys):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    for word in ("device=cuda", "trainer.precision=bf16-mixed"):
        assert main([word]) == 2
        err = capsys.readouterr().err
        assert err.startswith(f"error: {word} is") and "torch sees no" in err and "type" in err


def test_hydras_own_settings_are_for_sweeps(capsys):
    assert main(["hydra.run.dir=x"]) == 2
    err = capsys.readouterr().err
    assert err == "error: hydra.run.dir=x is for studies: leave it out, or type -m too\n"
