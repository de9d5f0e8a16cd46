"""A pruned student by the real command line: it waits for its source, and is judged and exported as any other."""

import json
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from models.checkpoint import load_checkpoint
from models.pruning import widths
from tests.small_profile import repro, write_small_profile

pytestmark = [pytest.mark.smoke, pytest.mark.slow]

BIG, SMALL = "pspnet_r18_gdd", "pruned_small"


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student at output stride 32 and one pruned from it, at stride 8 of half the image."""
    folder = tmp_path_factory.mktemp("fewer")
    pruned = {
        "recipe": "pspnet_r18",
        "network": {"input_scale": 0.5, "output_stride": 8},
        "prune": {"source": f"students/{BIG}", "keep": 0.5},
    }
    runs = {SMALL: pruned | {"distill": {"gdd": 20.0}}, "pruned_alone": pruned}
    big = {name: {"network": {"output_stride": 32}} for name in ("pspnet_r18", BIG)}
    write_small_profile(folder, ["pspnet_r18", BIG], runs=runs | big)
    done = repro(folder, f"export-{BIG}", f"export-{SMALL}")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def _metrics(profile: Path, stage: str, run: str) -> dict:
    return json.loads((profile / f"reports/metrics/{stage}/{run}.json").read_text())


def test_it_is_trained_after_its_source_and_is_half_of_it(profile: Path) -> None:
    big, _, _ = load_checkpoint(profile / f"artifacts/students/{BIG}/checkpoint.safetensors")
    small, design, facts = load_checkpoint(profile / f"artifacts/students/{SMALL}/checkpoint.safetensors")
    assert facts["backbone_weights"].startswith("50 % ")
    assert facts["backbone_weights"].endswith(f" students/{BIG}")
    assert (widths(small)["layer4"], widths(big)["layer4"]) == (256, 512)
    assert (design.input_scale, design.output_stride) == (0.5, 8)


@pytest.mark.parametrize("run", [BIG, SMALL])
def test_it_is_judged_and_its_graph_agrees(profile: Path, run: str) -> None:
    assert 0 <= _metrics(profile, "evaluate", run)["miou"] <= 1
    exported = _metrics(profile, "export", run)
    assert exported["artifacts"][0]["file"] == "model.onnx"
    assert exported["artifacts"][0]["status"] == "accepted"


def test_what_its_source_became_is_what_it_waited_for(profile: Path) -> None:
    """DVC trains it anew when its source is another, and no student that is not pruned waits for a student."""
    stages = YAML(typ="safe", pure=True).load((profile / "dvc.lock").read_text())["stages"]
    (source,) = stages[f"student-{BIG}"]["outs"]
    needed = {entry["path"]: entry["md5"] for entry in stages[f"student-{SMALL}"]["deps"]}
    assert needed[source["path"]] == source["md5"]
    alone = [entry["path"] for entry in stages[f"student-{BIG}"]["deps"]]
    assert not [path for path in alone if path.startswith("artifacts/students")]
