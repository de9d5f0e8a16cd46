"""predict.py, self_test.py and what they are made of, in a Python that sees the bundle alone."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from ruamel.yaml import YAML

from pipeline.data.files import sha256, write_json
from segdistill_runtime import RESIZE_MODES
from segdistill_runtime.contract import Contract, read_contract
from segdistill_runtime.engine_build import build_engine
from segdistill_runtime.engine_file import description_path, write_engine
from segdistill_runtime.errors import FileRefused, InputRefused
from segdistill_runtime.images import Resizing, read_image, resize, resize_labels
from segdistill_runtime.onnx_file import require_plain_graph
from segdistill_runtime.runner import require_images
from segdistill_runtime.targets.tensorrt_rtx import TensorRTForRTX
from segdistill_runtime.verify import verify
from tests.deploy.release_material import RUN, SIZE, SOURCE, Material, picture, run_script, write_manifest
from tests.raising import raises

MODES = list(RESIZE_MODES)
HEADERS = "ONNXRUNTIME_HEADERS"
"""Environment variable: a folder with onnxruntime_cxx_api.h, for the C++ example. The library is the package's own."""


def ramp(height: int, width: int) -> np.ndarray:
    """A picture in which every pixel tells where it is."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([255 * rows // height, 255 * columns // width, (rows + columns) % 256], axis=-1).astype(np.uint8)


def without_packages(*names: str) -> list[str]:
    """A Python in which some packages cannot be imported."""
    blocked = "".join(f"sys.modules[{name!r}] = None; " for name in names)
    start = f"import sys, runpy; {blocked}sys.argv.pop(0); runpy.run_path(sys.argv[0], run_name='__main__')"
    return [sys.executable, "-I", "-c", start]


def test_a_bundle_predicts_alone(bundle: Path, tmp_path: Path) -> None:
    Image.fromarray(ramp(150, 200)).save(tmp_path / "large.jpg")
    done = run_script(bundle, "predict.py", tmp_path / "large.jpg", "--labels", "labels.png", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("model_int8.onnx ")  # the fastest, as the measurements say
    assert "onnxruntime" in done.stdout.splitlines()[0]
    assert "NOT SIGNED" in done.stderr
    assert Image.open(tmp_path / "large_overlay.png").size == (200, 150)
    assert picture(tmp_path / "labels.png").shape == (150, 200)
    assert not verify(bundle, None).unlisted  # nothing was left in the bundle


def test_an_image_of_the_graph_s_size_gives_the_expected_labels(bundle: Path, tmp_path: Path) -> None:
    image = bundle / "golden/image.png"
    for runtime, precision in (("onnxruntime", "int8"), ("openvino", "fp32")):
        if runtime == "openvino":
            pytest.importorskip("openvino", reason="OpenVINO has no wheel for this platform")
        done = run_script(
            bundle, "predict.py", image, "--runtime", runtime, "--labels", "labels.png", "--threads", 1, cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
        expected = picture(bundle / f"golden/labels_{precision}.png")
        assert (picture(tmp_path / "labels.png") == expected).mean() > 0.999


def test_the_wheel_of_a_bundle_can_be_installed(bundle: Path, tmp_path: Path) -> None:
    wheel = next(bundle.glob("segdistill_runtime-*.whl"))
    site = tmp_path / "site"
    uv = str(Path(sys.executable).with_name("uv"))
    install = [uv, "pip", "install", "--quiet", "--offline", "--no-deps", "--target", str(site), str(wheel)]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    command = [sys.executable, "-m", "segdistill_runtime", "self-test", "--bundle", str(bundle)]
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(site)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "passed" in done.stdout


def test_the_package_needs_nothing_of_the_project() -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from segdistill_runtime import bundle, predict, rebuild, self_test\n"
        "print(sorted(n for n in sys.modules if n.split('.')[0] in ('torch', 'pipeline', 'models', 'onnxruntime')))"
    )
    command = [sys.executable, "-I", "-c", program, str(SOURCE.parent)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_self_test_runs_every_runtime_that_is_here(bundle: Path, tmp_path: Path) -> None:
    done = run_script(bundle, "self_test.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("model_int8.onnx ")]
    assert "onnxruntime" in line
    assert "100.0000%" in line
    assert "passed" in done.stdout


def test_self_test_fails_on_other_labels(bundle: Path, tmp_path: Path) -> None:
    """Somebody exchanged the graph and wrote a manifest that fits."""
    labels = picture(bundle / "golden/labels_int8.png")
    Image.fromarray((labels + 1) % 4).save(bundle / "golden/labels_int8.png")
    write_manifest(bundle)
    done = run_script(bundle, "self_test.py", "--runtime", "onnxruntime", cwd=tmp_path)
    assert done.returncode == 1
    refusal = done.stderr.splitlines()[-1]
    assert [value for value in ("model_int8.onnx", "onnxruntime", " 0.0000%") if value not in refusal] == []
    assert "Traceback" not in done.stderr
    assert "passed" not in done.stdout


def test_a_runtime_that_is_not_installed_is_named_and_the_next_one_is_used(bundle: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="OpenVINO has no wheel for this platform")
    image = str(bundle / "golden/image.png")
    command = [*without_packages("onnxruntime"), str(bundle / "predict.py"), image]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert sum(line.endswith("pip install onnxruntime") for line in done.stderr.splitlines()) == 1
    assert done.stdout.startswith("model.onnx ")
    assert "openvino" in done.stdout.splitlines()[0]
    asked = subprocess.run(
        [*command, "--runtime", "onnxruntime"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert asked.returncode == 1
    assert asked.stderr.splitlines()[-1].endswith("pip install onnxruntime")
    command = [*without_packages("onnxruntime", "openvino"), str(bundle / "self_test.py")]
    none = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert none.returncode == 1
    assert "onnxruntime, openvino" in none.stderr
    assert "Traceback" not in none.stderr


def test_a_package_that_every_command_needs_is_named(bundle: Path, tmp_path: Path) -> None:
    command = [*without_packages("numpy"), str(bundle / "self_test.py")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "numpy" in done.stderr
    assert done.stderr.strip().endswith("pip install -r requirements.txt")
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_cuda_without_a_gpu_is_an_error_and_no_silent_fallback(bundle: Path, tmp_path: Path) -> None:
    done = run_script(bundle, "predict.py", bundle / "golden/image.png", "--runtime", "onnxruntime_cuda", cwd=tmp_path)
    assert done.returncode == 1
    assert "CUDAExecutionProvider" in done.stderr.splitlines()[-1]
    assert "NVIDIA" in done.stderr.splitlines()[-1]  # whose driver is not loaded
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("*_overlay.png"))


def test_a_runtime_for_which_nothing_ships_says_why(bundle: Path, tmp_path: Path) -> None:
    done = run_script(bundle, "predict.py", bundle / "golden/image.png", "--runtime", "tensorrt", cwd=tmp_path)
    assert done.returncode == 1
    refusal = done.stderr.splitlines()[-1]
    assert [value for value in (RUN, "fp32 undecided", "rebuild_on_target.sh") if value not in refusal] == []


@pytest.fixture
def engine(bundle: Path) -> Path:
    """A real engine in the bundle, for GPUs that may not be here."""
    pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX has no wheel for this platform")
    source = (bundle / "model.onnx").read_bytes()
    built = build_engine(TensorRTForRTX(), "model.onnx", source, "fp32", ["SM86"], None, bundle)
    path = write_engine(bundle / "engines", *built)
    write_manifest(bundle)
    return path


def predict_with_engine(engine: Path, tmp_path: Path) -> str:
    """The one message with which it is refused."""
    bundle = engine.parents[1]
    write_manifest(bundle)
    done = run_script(bundle, "predict.py", bundle / "golden/image.png", "--runtime", "tensorrt", cwd=tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1]


def test_an_engine_of_another_version_is_refused_with_the_rebuild_command(engine: Path, tmp_path: Path) -> None:
    description = json.loads(description_path(engine).read_text())
    description_path(engine).write_text(json.dumps({**description, "version": "1.0.0.1"}))
    refusal = predict_with_engine(engine, tmp_path)
    assert "1.0.0.1" in refusal
    assert "rebuild_on_target.sh" in refusal


def test_a_damaged_engine_is_refused_even_if_the_manifest_fits(engine: Path, tmp_path: Path) -> None:
    whole = engine.read_bytes()
    engine.write_bytes(whole[:-1])
    assert "rebuild_on_target.sh" in predict_with_engine(engine, tmp_path)
    engine.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert "rebuild_on_target.sh" in predict_with_engine(engine, tmp_path)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_an_engine_needs_a_gpu(engine: Path, tmp_path: Path) -> None:
    assert "cuda" in predict_with_engine(engine, tmp_path).lower()


def test_what_a_rebuild_chose_for_this_bundle_comes_first(bundle: Path, tmp_path: Path) -> None:
    """The engine is not there, and that it is looked for shows which one was chosen."""
    report = bundle.with_name(f"{bundle.name}-engines") / "rebuild.json"
    engines = [{"precision": "fp16", "file": "fp16-here.engine", "status": "accepted"}]
    content = {"manifest_sha256": sha256(bundle / "manifest.json"), "engines": engines, "default": "fp16"}
    arguments = (bundle / "golden/image.png", "--runtime", "tensorrt")
    write_json(report, content)
    assert "fp16-here.engine" in run_script(bundle, "predict.py", *arguments, cwd=tmp_path).stderr
    write_json(report, {**content, "manifest_sha256": "of another bundle"})
    refusal = run_script(bundle, "predict.py", *arguments, cwd=tmp_path).stderr.splitlines()[-1]
    assert RUN in refusal
    assert "rebuild_on_target.sh" in refusal
    assert ".engine" not in refusal
    assert str(report) not in refusal
    report.write_text("{")
    done = run_script(bundle, "predict.py", *arguments, cwd=tmp_path)
    assert str(report) in done.stderr
    assert "rebuild_on_target.sh" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n" + bytes(50)])
def test_files_that_are_no_image_are_refused(bundle: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.png").write_bytes(content)
    done = run_script(bundle, "predict.py", tmp_path / "x.png", cwd=tmp_path)
    assert done.returncode == 1
    assert str(tmp_path / "x.png") in done.stderr
    assert "Traceback" not in done.stderr
    with raises(FileRefused, tmp_path / "x.png") as caught:
        read_image(tmp_path / "x.png")
    assert isinstance(caught.value.__cause__, OSError)


def test_deep_images_are_refused_and_turned_ones_are_turned(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 1000, np.uint16)).save(tmp_path / "deep.png")
    with raises(FileRefused, tmp_path / "deep.png", "I;16", "8 bits"):
        read_image(tmp_path / "deep.png")
    orientation = Image.Exif()
    orientation[0x0112] = 6  # to be turned by a quarter
    Image.fromarray(ramp(20, 30)).save(tmp_path / "turned.png", exif=orientation)
    assert (read_image(tmp_path / "turned.png") == np.rot90(ramp(20, 30), -1)).all()


@pytest.fixture
def contract(released: Path) -> Contract:
    return read_contract((released / "preprocessing.json").read_bytes())


@pytest.mark.parametrize(
    ("batch", "values"),
    [
        (np.zeros((1, *SIZE, 3), np.float32), ("float32", "uint8")),
        (np.zeros((1, *SIZE, 3), np.uint16), ("uint16", "uint8")),
        ([[0]], ("list", "uint8")),
        (np.zeros((*SIZE, 3), np.uint8), ("(16, 24,", "3)", "RGB")),
        (np.zeros((1, 3, *SIZE), np.uint8), ("(1, 3,", "16, 24)", "NCHW")),
        (np.zeros((1, *SIZE, 4), np.uint8), ("(1, 16,", "24, 4)", "RGB")),
        (np.zeros((0, *SIZE, 3), np.uint8), ("(0, 16,", "24, 3)", "RGB")),
        (np.zeros((1, SIZE[0], SIZE[1] + 1, 3), np.uint8), ("16x25", "16x24")),
    ],
)
def test_arrays_that_the_graph_does_not_take_are_refused(
    contract: Contract, batch: np.ndarray, values: tuple[str, ...]
) -> None:
    with raises(InputRefused, *values) as caught:
        require_images(batch, contract.shape[1:3])  # type: ignore[arg-type]
    assert ("NCHW" in str(caught.value)) == ("NCHW" in values)


def test_the_api_refuses_them_too(bundle: Path, tmp_path: Path) -> None:
    wheel = next(bundle.glob("*.whl"))
    program = (
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        "import numpy as np; from pathlib import Path; from segdistill_runtime.bundle import *\n"
        "segmenter = open_bundle(Path(sys.argv[1]), None, 'onnxruntime')\n"
        "print(segmenter.segment(np.zeros((31, 17, 3), np.uint8)).shape)\n"
        "try: segmenter.labels(np.zeros((1, 3, 16, 24), np.uint8))\n"
        "except InputRefused as refusal: print(refusal)\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", program, str(bundle), str(wheel)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines()[0] == "(31, 17)", done.stderr
    assert "NCHW" in done.stdout.splitlines()[1]


def external(folder: Path, location: str) -> Path:
    """A graph whose weights stand in another file."""
    model = onnx.load(folder / "model.onnx")
    onnx.external_data_helper.convert_model_to_external_data(model, True, location, size_threshold=0)
    onnx.save(model, folder / "external.onnx")
    return folder / "external.onnx"


def test_a_graph_with_data_outside_is_refused_before_a_runtime_follows_it(bundle: Path, tmp_path: Path) -> None:
    outside = external(bundle, "weights.bin")
    model = onnx.load(outside, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = "../../../../etc/hostname"
    onnx.save(model, bundle / "model_int8.onnx")
    (bundle / "weights.bin").unlink()
    outside.unlink()
    write_manifest(bundle)
    done = run_script(bundle, "predict.py", bundle / "golden/image.png", "--runtime", "onnxruntime", cwd=tmp_path)
    assert done.returncode == 1
    refusal = done.stderr.splitlines()[-1]
    assert "model_int8.onnx" in refusal
    assert "external data" in refusal
    assert "Traceback" not in done.stderr


def _with(released: Path, change: Callable[[onnx.ModelProto], object]) -> bytes:
    model = onnx.load(released / "model.onnx")
    require_plain_graph("x.onnx", model.SerializeToString())
    change(model)
    return model.SerializeToString()


def _branching() -> onnx.NodeProto:
    output = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    branch = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["y"], ["x"])], "branch", [], [output])
    return onnx.helper.make_node("If", ["y"], ["z"], then_branch=branch, else_branch=branch)


def _constant(**of_tensor: Any) -> onnx.NodeProto:
    return onnx.helper.make_node("Constant", [], ["c"], value=onnx.TensorProto(data_type=1, **of_tensor))


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda model: model.graph.node.append(_constant(dims=[1], data_location=1)), "external data"),
        (lambda model: model.graph.node.append(_branching()), "(a loop"),
        (lambda model: model.graph.node[0].attribute.add(name="bodies").graphs.add(), "(loops"),
        (lambda model: model.functions.add(name="f"), "functions"),
        (lambda model: model.training_info.add(), "training"),
        (lambda model: model.graph.sparse_initializer.add(dims=[2**40]), "sparse tensors"),
        (lambda model: model.graph.node[0].attribute.add(name="s").sparse_tensor.dims.append(9), "sparse tensor"),
        (lambda model: model.graph.node[0].attribute.add(name="s").sparse_tensors.add(), "sparse tensors"),
        (lambda model: setattr(model.graph.node[0], "domain", "com.example"), "'com.example'"),
        (lambda model: model.graph.node.append(_constant(dims=[2**20, 2**20])), "1.05e+06 numbers"),
        (lambda model: model.graph.node.append(_constant(dims=[-1])), "1.84e+19 numbers"),
        (lambda model: model.graph.node.append(_constant(dims=[2**62] * 1000)), "4.61e+18 numbers"),
    ],
)
def test_what_ours_never_have_is_refused_wherever_it_hides(
    change: Callable[[onnx.ModelProto], object], found: str, released: Path
) -> None:
    with raises(FileRefused, "x.onnx", found):
        require_plain_graph("x.onnx", _with(released, change))


def test_empty_and_scalar_tensors_are_none_of_it(released: Path) -> None:
    for tensor in (_constant(dims=[0]), _constant(float_data=[1.0]), _constant(dims=[2], float_data=[1.0, 2.0])):
        require_plain_graph("x.onnx", _with(released, lambda model, tensor=tensor: model.graph.node.append(tensor)))


def test_truncated_graphs_are_refused_before_a_runtime_sees_them(released: Path) -> None:
    whole = (released / "model.onnx").read_bytes()
    for length in (0, 1, len(whole) // 2, len(whole) - 1):
        with pytest.raises(FileRefused):
            require_plain_graph("x.onnx", whole[:length])


@given(data=st.binary(max_size=300))
def test_no_bytes_can_do_more_than_be_refused(data: bytes) -> None:
    with contextlib.suppress(FileRefused):
        require_plain_graph("x.onnx", data)


@given(data=st.data())
def test_a_flipped_graph_is_refused_or_still_holds_its_values(data: st.DataObject, released: Path) -> None:
    changed = bytearray((released / "model.onnx").read_bytes())
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        require_plain_graph("x.onnx", bytes(changed))
    except FileRefused:
        return
    try:
        model = onnx.load_from_string(bytes(changed))
    except Exception:  # protobuf checks text as well, which is none of our business
        return
    assert not any(onnx.external_data_helper.uses_external_data(tensor) for tensor in model.graph.initializer)


@pytest.mark.parametrize(
    ("source", "target"),
    [((60, 80), (48, 64)), ((48, 64), (60, 81)), ((7, 5), (48, 64)), ((200, 300), (16, 24)), ((1, 1), (4, 4))],
)
def test_the_resize_is_torch_s_bilinear_rounded_half_up(source: tuple[int, int], target: tuple[int, int]) -> None:
    image = ramp(*source)
    planes = torch.from_numpy(image).permute(2, 0, 1)[None].double()
    exact = torch.nn.functional.interpolate(planes, target, mode="bilinear", align_corners=False, antialias=False)
    exact = exact[0].permute(1, 2, 0).numpy()
    ours = resize(image, *target)
    assert ours.dtype == np.uint8
    assert np.abs(ours - exact).max() <= 0.5 + 1e-9
    clear = np.abs(exact - np.floor(exact) - 0.5) > 1e-9  # at exactly one half floating point may fall either way
    assert (ours[clear] == np.floor(exact + 0.5)[clear]).all()


def test_halves_are_rounded_up() -> None:
    image = np.array([[[0] * 3, [1] * 3]], np.uint8)
    assert resize(image, 1, 1)[0, 0, 0] == 1


def test_nothing_changes_at_the_same_size() -> None:
    image = ramp(48, 64)
    assert (resize(image, 48, 64) == image).all()
    assert (resize_labels(image[..., 0], 48, 64) == image[..., 0]).all()


@given(sizes=st.tuples(*[st.integers(1, 40)] * 4))
def test_labels_come_from_the_pixel_that_holds_the_center(sizes: tuple[int, int, int, int]) -> None:
    height, width, target_height, target_width = sizes
    labels = np.arange(height * width).reshape(height, width)
    found = resize_labels(labels, target_height, target_width)
    for row, column in ((0, 0), (target_height - 1, target_width - 1), (target_height // 2, target_width // 3)):
        center = ((row + 0.5) / target_height * height, (column + 0.5) / target_width * width)
        assert found[row, column] == labels[int(center[0] + 1e-9), int(center[1] + 1e-9)]


@given(
    size=st.tuples(*[st.integers(1, 90)] * 2), graph=st.tuples(*[st.integers(1, 60)] * 2), mode=st.sampled_from(MODES)
)
def test_resizing_is_undone_exactly(size: tuple[int, int], graph: tuple[int, int], mode: str) -> None:
    """Labels of an image, put where the image is, come back; of an image that was made smaller, the nearest ones."""
    resizing = Resizing(*graph, mode)
    filled = resizing.apply(np.full((*size, 3), 255, np.uint8))
    assert filled.shape == (*graph, 3)
    assert set(np.unique(filled)) <= {0, 255}
    rows, columns = np.nonzero(filled[..., 0])
    top, left, height, width = rows[0], columns[0], len(set(rows)), len(set(columns))
    assert len(rows) == height * width
    assert (2 * top + height - graph[0]) in (0, -1), "the middle, or half a pixel above"
    assert (2 * left + width - graph[1]) in (0, -1)
    if mode == "letterbox":
        scale = min(graph[0] / size[0], graph[1] / size[1])
        for side, original in ((height, size[0]), (width, size[1])):
            assert side == 1 or abs(side - scale * original) <= 0.5 + 1e-9
    assert height == graph[0] or width == graph[1]
    labels = np.arange(size[0] * size[1]).reshape(size)
    placed = np.full(graph, -1)
    placed[top : top + height, left : left + width] = resize_labels(labels, height, width)
    found = resizing.undo(placed, *size)
    if height >= size[0] and width >= size[1]:
        assert (found == labels).all()
    down, across = np.abs(found // size[1] - labels // size[1]), np.abs(found % size[1] - labels % size[1])
    assert (down <= size[0] / height).all()
    assert (across <= size[1] / width).all()
    assert (found >= 0).all(), "padding"


@pytest.mark.parametrize("mode", MODES)
def test_an_image_of_the_graph_s_size_stays_as_it_is(mode: str) -> None:
    image = ramp(48, 64)
    assert Resizing(48, 64, mode).apply(image) is image
    assert Resizing(48, 64, mode).undo(image[..., 0], 48, 64).base is image


def test_a_letterbox_is_centered_and_black() -> None:
    tall = Resizing(4, 7, "letterbox").apply(np.full((8, 4, 3), 9, np.uint8))
    assert tall[..., 0].tolist() == [[0, 0, 9, 9, 0, 0, 0]] * 4
    wide = Resizing(4, 4, "letterbox").apply(np.full((1, 400, 3), 9, np.uint8))
    assert wide[..., 0].tolist() == [[0] * 4, [9] * 4, [0] * 4, [0] * 4]


@pytest.fixture(scope="session")
def letterboxed(unreleased: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose contract keeps the aspect ratio; not to be changed."""
    root = tmp_path_factory.mktemp("letterboxed")
    shutil.copytree(unreleased, root / "material")
    return Material(root / "material").release(resize="letterbox")


def test_a_bundle_resizes_as_its_contract_says(letterboxed: Path, tmp_path: Path) -> None:
    contract = json.loads((letterboxed / "preprocessing.json").read_text())
    assert (contract["resize"]["mode"], contract["height"], contract["width"]) == ("letterbox", *SIZE)
    image = ramp(90, 31)
    Image.fromarray(image).save(tmp_path / "tall.png")
    done = run_script(letterboxed, "predict.py", tmp_path / "tall.png", "--labels", "labels.png", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    session = onnxruntime.InferenceSession(letterboxed / "model_int8.onnx", providers=["CPUExecutionProvider"])
    resizing = Resizing(*SIZE, "letterbox")
    (expected,) = resizing.segment(lambda images: np.asarray(session.run(None, {"image": images})[0]), [image])
    assert (picture(tmp_path / "labels.png") == expected).all()
    assert run_script(letterboxed, "self_test.py", cwd=tmp_path).returncode == 0
    nodes = YAML(typ="safe").load((letterboxed / "isaac_ros/parameters.yaml").read_text())
    assert nodes["resize_node"]["ros__parameters"]["keep_aspect_ratio"] is True


def test_a_contract_without_a_mode_is_of_a_time_when_there_was_one(released: Path) -> None:
    content = json.loads((released / "preprocessing.json").read_text())
    assert content["resize"].pop("mode") == read_contract(json.dumps(content).encode()).resize == "stretch"
    for wrong in ({"mode": "crop"}, {"mode": 1}, [], "stretch"):
        with pytest.raises(FileRefused):
            read_contract(json.dumps({**content, "resize": wrong}).encode())


def _write_ppm(path: Path, image: np.ndarray) -> None:
    path.write_bytes(b"P6\n# a comment\n%d %d\n255\n" % (image.shape[1], image.shape[0]) + image.tobytes())


@pytest.fixture(scope="session")
def example(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """The C++ program, built here, and the environment in which it finds ONNX Runtime."""
    headers = os.environ.get(HEADERS)
    library = next((Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*"), None)
    if headers is None or library is None:
        pytest.skip(f"the C++ example is not built: {HEADERS} does not name ONNX Runtime's headers, or no library")
    folder = tmp_path_factory.mktemp("cpp")
    (folder / "libonnxruntime.so.1").symlink_to(library)  # the name under which it asks to be loaded
    for command in (
        [
            "cmake",
            "-S",
            SOURCE / "bundle_files/cpp",
            "-B",
            folder,
            f"-DONNXRUNTIME_INCLUDE={headers}",
            f"-DONNXRUNTIME_LIBRARY={library}",
        ],
        ["cmake", "--build", folder],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "warning" not in done.stderr.lower()
    return folder / "segment", {"PATH": "/usr/bin:/bin", "LD_LIBRARY_PATH": str(folder)}


@pytest.mark.parametrize("size", [SIZE, (37, 51), (5, 90)])
@pytest.mark.parametrize("model", ["model.onnx", "model_int8.onnx"])
@pytest.mark.parametrize("mode", MODES)
def test_the_cpp_example_gives_the_same_bytes(
    example: tuple[Path, dict[str, str]], released: Path, letterboxed: Path, tmp_path: Path, size: tuple[int, int],
    model: str, mode: str,
) -> None:  # fmt: skip
    bundle = {"stretch": released, "letterbox": letterboxed}[mode]
    image = ramp(*size)
    _write_ppm(tmp_path / "x.ppm", image)
    program, environment = example
    command = [program, bundle / model, tmp_path / "x.ppm", tmp_path / "x.pgm", "1"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    session = onnxruntime.InferenceSession(bundle / model, providers=["CPUExecutionProvider"])
    resizing = Resizing(*SIZE, mode)
    (expected,) = resizing.segment(lambda images: np.asarray(session.run(None, {"image": images})[0]), [image])
    assert (picture(tmp_path / "x.pgm") == expected).all()


def test_the_cpp_example_refuses_bad_input_in_one_line(
    example: tuple[Path, dict[str, str]], released: Path, tmp_path: Path
) -> None:
    program, environment = example
    _write_ppm(tmp_path / "good.ppm", ramp(4, 4))
    (tmp_path / "cut.ppm").write_bytes((tmp_path / "good.ppm").read_bytes()[:-1])
    (tmp_path / "huge.ppm").write_bytes(b"P6 99999999 99999999 255 ")
    (tmp_path / "bad.onnx").write_bytes(b"rubbish")
    for model, image, values in (
        (released / "model.onnx", "none.ppm", ("none.ppm",)),
        (released / "model.onnx", "cut.ppm", ("cut.ppm",)),
        (released / "model.onnx", "huge.ppm", ("huge.ppm", "PPM", "P6")),
        (released / "model.onnx", "bad.onnx", ("bad.onnx", "PPM", "P6")),
        (tmp_path / "bad.onnx", "good.ppm", ("bad.onnx",)),
        (released / "triton/to_pixels/1/model.onnx", "good.ppm", ("uint8 (1, H, W, 3)",)),
    ):
        command = [program, model, tmp_path / image, tmp_path / "x.pgm"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert [value for value in values if value not in done.stderr] == []
        assert ("P6" in done.stderr) == ("P6" in values)
        assert not (tmp_path / "x.pgm").exists()


def test_the_contract_says_what_the_code_does(released: Path) -> None:
    content = json.loads((released / "preprocessing.json").read_text())
    assert (content["layout"], content["type"], content["color"]) == ("NHWC", "uint8", "RGB")
    assert content["run"] == RUN
    model = onnx.load(released / "model.onnx")
    shapes = [
        [d.dim_value for d in end.type.tensor_type.shape.dim] for end in (*model.graph.input, *model.graph.output)
    ]
    assert shapes == [content["input_shape"], content["output_shape"]]
    assert [end.name for end in (*model.graph.input, *model.graph.output)] == [content["input"], content["output"]]
