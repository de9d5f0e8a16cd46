"""The examples of docs/guides/extend.md, added to a copy of the project as the page says, work."""

import re
from pathlib import Path

import pytest

from pipeline.code_digest import ROOT
from tests.fresh_project import sh, write_project

PAGE = (ROOT / "docs/guides/extend.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"<!-- file: (\S+) -->\n```python\n(.*?)```", PAGE, re.DOTALL))
LINES = re.findall(r"<!-- line: (\S+) (\w+) -->\n```python\n(.*?)```", PAGE, re.DOTALL)
CHECKS = {
    "pipeline/distillation/cosine.py": """
from models.build import Design, build_segmenter
from pipeline.distillation.method import method_class, method_params
design = Design(
    architecture="pspnet", backbone="resnet18_v1c", output_stride=16, head_channels=16, auxiliary_channels=16,
    class_names=("road", "car", "sky"),
)
student, teacher = (build_segmenter(design) for _ in range(2))
method = method_class("cosine")(method_params("cosine", {"margin": 0.1}), student, teacher, 10)
images = torch.zeros(2, 3, 64, 64, dtype=torch.uint8)
loss = method(student(images), teacher(images), None)
assert 0 <= loss.item() <= 1.9 and loss.requires_grad
""",
    "models/plain.py": """
from models.build import Design, build_segmenter
design = Design(
    architecture="plain", backbone="resnet18_v1c", output_stride=16, head_channels=16, auxiliary_channels=16,
    class_names=("road", "car", "sky"),
)
logits = build_segmenter(design)(torch.zeros(2, 3, 64, 64, dtype=torch.uint8)).logits
assert logits.shape[:2] == (2, 3)
""",
    "pipeline/preparation/beside.py": """
from pathlib import Path
from PIL import Image
from pipeline.errors import DatasetError
from pipeline.params.dataset import DatasetParams
from pipeline.params.sections import read_section
from pipeline.preparation.beside import Beside
Path("own/train").mkdir(parents=True)
Image.new("RGB", (8, 8)).save("own/train/a.jpg")
dataset = read_section(DatasetParams, {"adapter": "beside", "source": "own"})
try:
    Beside.read(dataset, Path())
    raise AssertionError
except DatasetError as error:
    assert "a_mask.png" in str(error)
Image.new("L", (8, 8)).save("own/train/a_mask.png")
(sample,) = Beside.read(dataset, Path()).samples
assert (sample.id, sample.split) == ("a", "train")
""",
    "segdistill_runtime/targets/onnx_reference.py": """
import numpy as np
import onnx.parser
from pipeline.doctor import PROBE
from segdistill_runtime.targets.target import load_target
graph = onnx.parser.parse_model(PROBE).SerializeToString()
images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
names = ("onnx_reference", "onnxruntime")
labels = [load_target(name).open("probe.onnx", lambda _: graph, 1).run(images) for name in names]
assert (labels[0] == labels[1]).all()
""",
    "pipeline/deploy/receivers/deepstream.py": """
from pathlib import Path
from pipeline.deploy.receivers.served import Served
from pipeline.preparation.camvid import CAMVID_CLASSES
from pkgutil import resolve_name
from pipeline.deploy.receivers import RECEIVERS
resolve_name(RECEIVERS["deepstream"])(Served({}, "int8", "onnxruntime", Path(), CAMVID_CLASSES), Path("bundle"))
assert Path("bundle/deepstream/labels.txt").read_text().splitlines()[3] == "road"
""",
}


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with all examples in it."""
    project = tmp_path_factory.mktemp("home") / "segdistill"
    write_project(project)
    for name, text in FILES.items():
        assert not (project / name).exists()
        (project / name).write_text(text)
    for name, table, line in LINES:
        text = (project / name).read_text()
        begin = re.search(rf"^{table}\b.*\{{\n", text, re.MULTILINE)
        assert begin, f"{name} has no table {table}"
        (project / name).write_text(text[: begin.end()] + line + text[begin.end() :])
    return project


def test_every_example_is_checked() -> None:
    assert FILES.keys() == CHECKS.keys()
    assert len(LINES) == len(FILES)


@pytest.mark.parametrize("file", FILES)
def test_an_example_works(file: str, extended: Path) -> None:
    (extended / "check.py").write_text(f"import torch\n{CHECKS[file]}")
    sh("python check.py", extended)


def test_the_examples_are_in_house_style(extended: Path) -> None:
    sh(f"ruff check {' '.join(FILES)} && ruff format --check {' '.join(FILES)}", extended)
