"""`scripts/export.py`: what it writes is run, and has the numbers of the model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import odyssey
from cell_cases import NAMES
from model_kit import randomize
from odyssey.api.export_main import main
from odyssey.cells import CELLS
from odyssey.errors import UserError
from odyssey.nn.sequence import SequenceModel, Sizes
from odyssey.training import export
from run_kit import folder, train
from test_evaluate import FAST, charlm, sentiment  # noqa: F401


@pytest.fixture
def inputs(rng: np.random.Generator):
    """Of a run: random inputs (T, B) or (T, B, X)."""

    def made(run: odyssey.Run) -> torch.Tensor:
        steps, batch, spec = int(rng.integers(1, 9)), int(rng.integers(1, 6)), run.task.spec
        if spec.input == "tokens":
            return torch.from_numpy(rng.integers(0, spec.input_size, (steps, batch)))
        return torch.from_numpy(rng.normal(size=(steps, batch, spec.input_size))).float()

    return made


@pytest.fixture(scope="module")
def mnist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("mnist")
    given = ["task=mnist", "task.order=rows", "cell=gru", "model.num_layers=2", *FAST[:1]]
    assert train(out, *given, *FAST[4:]) == 0
    return folder(out)


def exported(run: odyssey.Run, to: str, path: Path) -> dict:
    model, about = run.export(to, path)
    assert model == path and about.name == f"{path.name}.json"
    return json.loads(about.read_text(encoding="utf-8"))


def expected(run: odyssey.Run, x: torch.Tensor, state=None):
    with torch.inference_mode():
        logits, after = run.model(x, None, state)
    return logits, torch.cat([part for layer in after for part in layer[0]], -1)


@pytest.mark.parametrize("name", ["charlm", "sentiment", "mnist"])
def test_torchscript_for_any_number_of_steps_and_sequences(
    name: str, request: pytest.FixtureRequest, tmp_path: Path, inputs
) -> None:
    run = odyssey.load(request.getfixturevalue(name), device="cpu")
    about = exported(run, "torchscript", tmp_path / "m.pt")
    loaded = torch.jit.load(tmp_path / "m.pt")
    for _ in range(2):
        x = inputs(run)
        logits, state = loaded(x, torch.zeros(x.shape[1], about["state_size"]))
        right, after = expected(run, x)
        torch.testing.assert_close(logits, right, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(state, after, rtol=1e-4, atol=1e-5)
    twice, more = torch.cat([x, x]), loaded(x, state)[0]
    want = expected(run, twice)[0]
    want = want if about["head"] == "last" else want[len(x) :]
    torch.testing.assert_close(more, want, rtol=1e-4, atol=1e-5)
    assert about["names"] == list(run.task.names())
    if name == "charlm":
        assert about["task"]["vocabulary"]["symbols"] == about["names"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of torch's exporter
@pytest.mark.parametrize("name", ["charlm", "sentiment", "mnist"])
def test_onnx_step_by_step(
    name: str, request: pytest.FixtureRequest, tmp_path: Path, inputs
) -> None:
    pytest.importorskip("onnxscript")
    reference = pytest.importorskip("onnx.reference")
    run = odyssey.load(request.getfixturevalue(name), device="cpu")
    about = exported(run, "onnx", tmp_path / "m.onnx")
    step = reference.ReferenceEvaluator(str(tmp_path / "m.onnx"))
    x = inputs(run)
    state, found = np.zeros((x.shape[1], about["state_size"]), np.float32), []
    for one in x.numpy():
        logits, state = step.run(None, {"input": one, "state": state})
        found.append(logits)
    right, after = expected(run, x)
    logits = found[-1] if about["head"] == "last" else np.stack(found)
    np.testing.assert_allclose(logits, right, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(state, after, rtol=1e-4, atol=1e-5)


def test_safetensors_holds_all_weights(charlm: Path, tmp_path: Path) -> None:  # noqa: F811
    torch_files = pytest.importorskip("safetensors.torch")
    run = odyssey.load(charlm, device="cpu")
    about = exported(run, "safetensors", tmp_path / "m.safetensors")
    found, right = torch_files.load_file(tmp_path / "m.safetensors"), run.model.state_dict()
    assert found.keys() == right.keys() == about["weights"].keys()
    for name, value in right.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=0)
        assert about["weights"][name] == list(value.shape)


def test_what_cannot_be_written_is_said(
    charlm: Path,  # noqa: F811
    tmp_path: Path,
    capsys,
    monkeypatch,
) -> None:
    assert main([str(charlm), "--to", "torchscript"]) == 0
    assert main([str(charlm), "--to", "torchscript"]) == 2
    assert "there already" in capsys.readouterr().err
    assert main([str(charlm), "--to", "torchscript", "--output", str(tmp_path / "a" / "m")]) == 2
    assert "no folder" in capsys.readouterr().err
    if Path("/proc/self").exists():  # where nobody can write, not even root
        assert main([str(charlm), "--to", "torchscript", "--output", "/proc/m.pt"]) == 2
        assert "cannot be written" in capsys.readouterr().err
    assert main([str(charlm), "--to", "pickle"]) == 2
    assert "invalid choice" in capsys.readouterr().err
    monkeypatch.setattr(export, "find_spec", lambda name: None)
    assert main([str(charlm), "--to", "onnx", "--output", str(tmp_path / "m")]) == 2
    error = capsys.readouterr().err
    assert "--to onnx needs the package onnx" in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())
    with pytest.raises(UserError, match="did you mean 'onnx'"):
        odyssey.load(charlm).export("onxx")


@pytest.mark.parametrize("kind", ["both", "decoder"])
def test_a_model_without_a_single_step_is_refused(kind: str, tmp_path: Path) -> None:
    words = (
        ["task=mnist", "task.order=rows", "model.bidirectional=true"]
        if kind == "both"
        else ["task=synthetic", "task.kind=reversal"]
    )
    assert train(tmp_path, *words, *FAST[:1], *FAST[4:]) == 0
    run = odyssey.load(folder(tmp_path), device="cpu")
    with pytest.raises(UserError, match="to=safetensors"):
        run.export("torchscript", tmp_path / "m.pt")
    assert not (tmp_path / "m.pt").exists()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", NAMES)
def test_every_cell_as_torchscript(name: str, tmp_path: Path, rng: np.random.Generator) -> None:
    seed = int(rng.integers(1 << 30))
    sizes = Sizes(5, 2, backend="reference", embedding_size=3)
    model = SequenceModel(
        CELLS[name], sizes, input="tokens", input_size=7, output_size=4, head="step"
    )
    randomize(model, seed)
    step = export.Step(model.eval())
    (tmp_path / "m.pt").write_bytes(export._torchscript(step))
    x = torch.from_numpy(rng.integers(0, 7, (int(rng.integers(1, 6)), 2)))
    with torch.no_grad():
        found = torch.jit.load(tmp_path / "m.pt")(x, torch.zeros(2, step.size).double())[0]
        torch.testing.assert_close(found, model(x)[0], rtol=1e-4, atol=1e-5)
