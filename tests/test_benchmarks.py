"""The plain step computes what ours does, so that the ratio compares two ways to one result; slots end in time; and the
other benchmarks measure what they say.
"""

import ast
import json
import re
import shutil
import subprocess
import sys
import time
from argparse import Namespace
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import torch
from onnx import TensorProto, helper
from PIL import Image

from benchmarks.determinism import train
from benchmarks.gpu import attempt, is_settled
from benchmarks.plain import PlainCWD, PlainGDD, PlainStep
from benchmarks.rivals import draw, named_paths, score
from benchmarks.slot import ahead, run_slot, table, trainings
from benchmarks.train import Case, compared, matrix_peak
from models import BACKBONES, HEADS
from models.export_wrappers import LabelsGraph
from pipeline.code_digest import ROOT, closure, direct_imports
from pipeline.curation import RULE_MODULES
from pipeline.data.augmentation import NEUTRAL
from pipeline.data.samples import read_samples
from pipeline.deploy.onnx_export import export_graph
from pipeline.distillation import METHODS
from pipeline.distillation.cwd import CWD
from pipeline.distillation.gdd import GDD
from pipeline.params.tree import load_params
from pipeline.preparation import ADAPTERS
from pipeline.runtime import TORCH_RUNNERS
from pipeline.training.objective import SupervisedObjective
from segdistill_runtime.runner import InputShape
from tests.deploy.release_material import RUN, write_material
from tests.small_profile import run, write_small_profile
from tests.toy import TOY_TASK, toy_segmenter, write_toy_samples


def test_the_plain_methods_are_ours() -> None:
    torch.manual_seed(0)
    student, teacher = toy_segmenter()[0].eval(), toy_segmenter()[0].eval()
    image, labels = torch.rand(2, 3, 48, 64), torch.zeros(2, 48, 64, dtype=torch.long)
    ours, theirs = student(image), teacher(image)
    plain = PlainGDD(student, teacher)
    gdd = GDD(GDD.Params(), student, teacher, 1)
    gdd.generator.load_state_dict(plain.generation.state_dict())
    plain.align = gdd.align  # of equal channels there is none
    results = []
    for method in (plain, lambda s, t: 145.0 * gdd(s, t, labels)):
        torch.manual_seed(1)  # the same noise
        results.append(method(ours, theirs).item())
    assert results[0] == pytest.approx(results[1], rel=1e-4)
    assert PlainCWD()(ours, theirs).item() == pytest.approx(
        3.0 * CWD(CWD.Params(), student, teacher, 1)(ours, theirs, labels).item(), rel=1e-2
    )


def test_the_plain_step_minimizes_our_task_loss() -> None:
    student, teacher = toy_segmenter()[0], toy_segmenter()[0]
    image = torch.randint(0, 256, (2, 3, 48, 64)).to(torch.uint8)
    labels = torch.randint(0, 3, (2, 48, 64)).to(torch.uint8)
    objective = SupervisedObjective(student, TOY_TASK).train()
    torch.manual_seed(0)
    expected = objective(image, labels, torch.tensor([NEUTRAL, NEUTRAL])).total.item()
    torch.manual_seed(0)
    assert PlainStep(student, teacher, None)(image.float() / 255, labels.long()).item() == pytest.approx(
        expected, rel=1e-5
    )


def test_a_row_says_how_many_times_as_fast() -> None:
    case = _case("plain")
    plain = {"images_per_s": 2.0, "peak_memory_bytes": 400, "flops_per_s": 1e9}
    ours = {"images_per_s": 5.0, "peak_memory_bytes": 100, "flops_per_s": 3e9}
    row = compared(case, plain, ours, 6e9)
    assert (row["ratio"], row["memory_ratio"], row["share_of_peak"]) == (2.5, 0.25, 0.5)


def test_matrices_of_a_type_that_the_machine_computes_slowly_stay_small(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = {torch.bfloat16: 1e9, torch.float32: 1e12}
    sizes: dict[torch.dtype, int] = {}

    def seconds(size: int, dtype: torch.dtype, _device: torch.device, _products: int) -> float:
        sizes[dtype] = size
        return 2 * size**3 / rates[dtype]

    monkeypatch.setattr("benchmarks.train.product_seconds", seconds)
    monkeypatch.setattr("benchmarks.train.best_device", lambda: torch.device("cpu"))
    assert matrix_peak(5) == pytest.approx({"bf16": 1e9, "fp32": 1e12})
    assert sizes == {torch.bfloat16: 256, torch.float32: 2048}


@pytest.mark.slow
def test_a_method_without_a_plain_form_is_timed_beside_plain_training(tmp_path: Path) -> None:
    sizes = ["--height", "48", "--width", "64", "--batch-size", "2", "--warm-up", "1", "--steps", "2"]
    record = _run("train", tmp_path, "--students", "pspnet", "--methods", "srd", "--teacher", "resnet10t", *sizes)
    (row,) = record["cases"]
    assert row["method"] == "srd"
    assert row["ours"]["flops"] > 1.1 * row["plain"]["flops"]  # the teacher's forward pass, and the method


@pytest.mark.slow
def test_a_slot_ends_in_time_and_the_next_one_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_small_profile(tmp_path, ["pspnet_r18"])
    params = load_params(tmp_path / "params.yaml")
    assert [*ahead(params), *trainings(params)] == [
        ("stages.prepare",), ("stages.curate",), ("stages.teacher",), ("stages.evaluate", "teacher"),
        ("stages.student", "pspnet_r18"), ("stages.evaluate", "pspnet_r18"),
    ]  # fmt: skip
    marks = tmp_path / "scratch/slots"
    assert not run_slot(ahead(params), tmp_path, time.monotonic() + 0.5)
    assert not list(marks.iterdir())
    assert not (tmp_path / "data/prepared/samples.csv").exists()  # it was killed before it was done
    assert run_slot(ahead(params)[:1], tmp_path, time.monotonic() + 120)
    assert (tmp_path / "data/prepared/samples.csv").is_file()
    monkeypatch.setattr("benchmarks.slot.subprocess.Popen", None)  # nothing is started again
    assert run_slot(ahead(params)[:1], tmp_path, time.monotonic() + 120)


@pytest.mark.slow
def test_a_slot_trains_the_table(tmp_path: Path) -> None:
    write_small_profile(tmp_path, ["pspnet_r18"])
    command = [
        sys.executable,
        "-m",
        "pipeline",
        "bench",
        "slot",
        "--profile",
        str(tmp_path),
        "--out",
        str(tmp_path / "out"),
    ]
    command += ["--seconds", "600", "--methods", "cwd", "--seeds", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "everything is trained and judged" in done.stdout
    (report,) = (tmp_path / "out/reports/comparison/pspnet_r18").iterdir()
    assert {"README.md", "comparison.json", "gains.png"} <= {file.name for file in report.iterdir()}


@pytest.mark.slow
def test_the_gpu_slot_runs_dry(tmp_path: Path) -> None:
    """All items but the tests, which this suite runs itself; then the trainings of a profile, and nothing twice."""
    profile = tmp_path / "profile"
    write_small_profile(profile, ["pspnet_r18"])
    items = ["facts", "waits", "against_cpu", "speed", "determinism", "runtimes"]
    command = [sys.executable, "-m", "pipeline", "bench", "gpu", "--items", *items, "--seconds", "900"]
    command += ["--train", str(profile), "--state", str(tmp_path / "state"), "--out", str(tmp_path / "out")]
    first, second = (subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False) for _ in range(2))
    assert first.returncode == 0, first.stderr[-2000:]
    records = {name: json.loads((tmp_path / f"out/{name}.json").read_text()) for name in items}
    assert {name: record["status"] for name, record in records.items()} == dict.fromkeys(items, "done")
    assert records["determinism"]["result"]["same_bytes"]
    assert records["runtimes"]["result"]["onnxruntime"]["equal_pixels"] > 0.999
    assert set(records["waits"]["result"]) == set(METHODS)
    assert (tmp_path / "out/artifacts/students/pspnet_r18/checkpoint.safetensors").is_file()
    assert second.stdout.count("done in an earlier slot") == len(items)


def test_an_item_whose_time_was_up_has_another_try(tmp_path: Path) -> None:
    record = tmp_path / "x.json"
    assert not is_settled(record)
    for work, seconds, settled in ((dict, 5, True), (lambda: 1 / 0, 5, True), (dict, 0, False)):
        record.write_text(json.dumps(attempt("x", work, seconds)))  # type: ignore[reportArgumentType]
        assert is_settled(record) == settled


def test_an_item_that_fails_or_hangs_does_not_end_the_slot() -> None:
    assert attempt("broken", lambda: 1 / 0, 5)["status"] == "failed"  # type: ignore[reportArgumentType]
    assert attempt("slow", lambda: time.sleep(60), 0.2)["status"] == "out of time"  # type: ignore[reportArgumentType]


def test_the_table_has_every_baseline() -> None:
    assert table(load_params(ROOT / "params.yaml").runs, ["gdd", "cwd"], 3) == [
        ("pipeline", "compare", "gdd", "cwd", "--seeds", "3", "--recipe", "pspnet_r18"),
        ("pipeline", "compare", "gdd", "cwd", "--seeds", "3", "--recipe", "deeplabv3_r18"),
    ]


@pytest.mark.slow
def test_growth_runs_the_stages_themselves(tmp_path: Path) -> None:
    record = _run("growth", tmp_path, "--images", "100", "300", "--doublings", "-1")
    assert [row["count"] for row in record["images"]] == [100, 300]
    for row in record["images"]:
        for stage in ("prepare", "curate"):
            assert row[stage]["seconds"] > 0
            assert 20e6 < row[stage]["peak_memory_bytes"] < 1e9


@pytest.mark.slow
def test_a_bundle_is_timed_as_its_receiver_runs_it(tmp_path: Path) -> None:
    bundle = write_material(tmp_path / "profile").release()
    record = _run("bundle", tmp_path, str(bundle), "--python", sys.executable, "--repeats", "2")
    assert (record["run"], record["installed"]) == (RUN, None)
    assert record["bundle_mb"] == pytest.approx(sum(f.stat().st_size for f in bundle.rglob("*")) / 1e6, abs=0.1)
    assert all(0 < s < 60 for s in (*record["predict_s"], *record["self_test_s"]))


@pytest.mark.slow
def test_curation_is_timed_with_and_without_anything_new(tmp_path: Path) -> None:
    record = _run("curation", tmp_path, "--images", "60", "--folder", str(tmp_path))
    (case,) = record["cases"]
    assert case["count"] == 60
    assert case["files_dvc_keeps"] == 7  # class table and lists, with where the dataset lies; no image, no mask
    assert 0 < case["nothing_changed_s"] < case["again_s"]


@pytest.mark.slow
def test_moved_masks_are_found_and_others_are_not(tmp_path: Path) -> None:
    write_small_profile(tmp_path, ["pspnet_r18"])
    samples = write_toy_samples(tmp_path / "data/curated", count=12)
    (tmp_path / "data/prepared").mkdir()
    (samples.parent / "classes.json").rename(tmp_path / "data/prepared/classes.json")
    record = _run("shifts", tmp_path, "--profile", str(tmp_path), "--split", "train")
    assert record["masks"] == 8
    found = {row["share"]: row["found"] for row in record["rows"]}
    assert found[0.0] == 0
    assert found[0.06] >= 6


@pytest.mark.slow
def test_the_loader_is_timed_beside_the_step(tmp_path: Path) -> None:
    write_small_profile(tmp_path, ["pspnet_r18"])
    samples = write_toy_samples(tmp_path / "data/curated")
    (tmp_path / "data/prepared").mkdir()
    (samples.parent / "classes.json").rename(tmp_path / "data/prepared/classes.json")
    record = _run("data", tmp_path, "--profile", str(tmp_path), "--workers", "0", "1", "--iterations", "2")
    assert [(row["pairs"], row["workers"]) for row in record["cases"]] == [
        ("decoded each time", 0), ("decoded each time", 1), ("decoded before", 0), ("decoded before", 1),
    ]  # fmt: skip
    for row in record["cases"]:
        assert row["busy"] == pytest.approx(row["together_images_per_s"] / row["step_images_per_s"])


def test_a_training_is_told_from_another() -> None:
    case = _case("ours")
    digests = [train(case, False)["digest"] for _ in range(2)]
    other = train(_case("ours", batch_size=3), False)["digest"]
    assert digests[0] == digests[1] != other


@pytest.mark.slow
def test_a_bare_machine_gets_what_a_slot_imports() -> None:
    there = {
        "torch",
        "torchvision",
        "timm",
        "lightning",  # brings what lightning-fabric needs
        "onnx",
        "onnxruntime-gpu",
        "numpy",
        "pillow",
        "safetensors",
        "jinja2",
    }
    fetched = set(re.search(r'names="([^"]*)"', (ROOT / "benchmarks/wheels.sh").read_text())[1].split())  # type: ignore[reportOptionalSubscript]
    own = {*(ROOT / "benchmarks").glob("*.py"), ROOT / "tests/conftest.py", *(ROOT / "tests/training").glob("*.py")}
    modules = {_dotted(imported) for file in own for imported in direct_imports(file)}
    modules |= {f"stages.{name}" for name in ("student", "prepare", "curate", "pretrain", "teacher", "evaluate")}
    tables = (*HEADS.values(), *BACKBONES.values(), *METHODS.values(), *ADAPTERS.values(), *RULE_MODULES)
    loaders = [ROOT / f"pipeline/{name}.py" for name in ("stage_table", "params/tree", "cli")]
    modules |= {_dotted(imported) for loader in loaders for imported in direct_imports(loader)}
    files = own | closure([*modules, *tables, *TORCH_RUNNERS.values(), "pipeline.comparison.compare"])
    python = [file for file in files if file.suffix == ".py"]
    imported = {name for file in python for name in _imported_at_once(file)} - sys.stdlib_module_names
    distributions = {
        re.sub("[._]", "-", name).lower() for module in imported for name in packages_distributions().get(module, [])
    }
    assert {"pydantic", "opencv-python-headless", "nvidia-ml-py", "scipy"} <= distributions
    assert distributions <= there | fetched


def _dotted(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts)


def _imported_at_once(file: Path) -> set[str]:
    """Top names of what a file imports when it is imported itself, not only when a function runs."""
    body = ast.parse(file.read_text()).body
    plain = {alias.name for node in body if isinstance(node, ast.Import) for alias in node.names}
    return {name.partition(".")[0] for name in plain | {n.module or "" for n in body if isinstance(n, ast.ImportFrom)}}


def _case(form: str, batch_size: int = 2) -> Case:
    return Case(form=form, architecture="pspnet", method="none", teacher="resnet10t", height=48, width=64,
                batch_size=batch_size, warm_up=1, steps=1)  # fmt: skip


def _run(name: str, folder: Path, *arguments: str) -> dict:
    out = folder / f"{name}.json"
    command = [sys.executable, "-m", "pipeline", "bench", name, "--out", str(out), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(out.read_text())


def test_rivals_are_scored_by_their_predictions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    samples = read_samples(write_toy_samples(tmp_path / "data/curated"), "val")
    for source, target in (("data/curated/classes.json", "data/prepared/classes.json"), (ROOT / "params.yaml", ".")):
        (tmp_path / target).parent.mkdir(exist_ok=True)
        shutil.copy(source, target)
    segmenter, design = toy_segmenter()
    export_graph(LabelsGraph(segmenter.eval()), design, InputShape(1, 24, 32), 20, tmp_path / "ours.onnx")
    for file in ("theirs.onnx", "unscored.onnx"):
        (tmp_path / file).write_bytes(b"no graph of ours")
    for sample in samples:
        (tmp_path / "found").mkdir(exist_ok=True)
        shutil.copy(str(sample.mask), tmp_path / f"found/{sample.id}.png")
    arguments = Namespace(split="val", threads=1, runtime="onnxruntime")
    files = named_paths([f"{name}={name}.onnx" for name in ("ours", "theirs", "unscored")])
    mious = score(files, named_paths(["theirs=found"]), arguments)
    assert mious.keys() == {"ours", "theirs"}
    assert mious["theirs"] == 1.0
    assert 0.0 <= mious["ours"] < 1.0
    draw([{"ms": 5.0, "miou": miou, "name": name} for name, miou in mious.items()], tmp_path / "rivals.png")
    assert Image.open(tmp_path / "rivals.png").size[0] > 600


@pytest.mark.slow
def test_rivals_take_turns_with_ours(tmp_path: Path) -> None:
    segmenter, design = toy_segmenter()
    export_graph(LabelsGraph(segmenter.eval()), design, InputShape(1, 48, 64), 20, tmp_path / "ours.onnx")
    shape = [1, 3, 8, 8]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("pixels", "scores")]
    node = helper.make_node("Relu", ["pixels"], ["scores"])
    graph = helper.make_model(
        helper.make_graph([node], "theirs", ends[:1], ends[1:]),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=9,
    )
    (tmp_path / "theirs.onnx").write_bytes(graph.SerializeToString())
    command = [sys.executable, "-m", "pipeline", "bench", "rivals", "ours=ours.onnx", "theirs=theirs.onnx"]
    done = run([*command, "--rounds", "2", "--calls", "3", "--threads", "1", "--out", "record.json"], tmp_path)
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "record.json").read_text())["rows"]
    assert [(row["name"], row["file"], len(row["ms_of_rounds"])) for row in rows] == [
        ("ours", "ours.onnx", 2), ("theirs", "theirs.onnx", 2),
    ]  # fmt: skip
    assert rows[0]["ms"] > rows[1]["ms"] > 0
    assert [row["miou"] for row in rows] == [None, None]
    (tmp_path / "damaged.onnx").write_bytes(b"no graph")
    for wrong in ("theirs=theirs.onnx", "other=nowhere.onnx", "damaged=damaged.onnx"):
        refused = run([*command, wrong], tmp_path)
        assert refused.returncode == 1
        assert "ParamsError" in refused.stderr
        assert "Traceback" not in refused.stderr
