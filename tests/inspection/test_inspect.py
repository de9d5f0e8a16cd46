"""The whole stage on toys: a teacher that was never trained, two runs whose predictions are known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from models.checkpoint import save_checkpoint
from pipeline.code_digest import ROOT
from pipeline.data.files import sha256
from pipeline.data.images import read_image, read_mask, read_train_ids
from pipeline.data.samples import Decision, Sample, read_samples, write_decisions
from pipeline.errors import ArtifactError
from pipeline.inspection.inspect import inspect_dataset
from pipeline.inspection.records import InspectedSample, read_inspected
from pipeline.measure.accuracy import ConfusionMatrix
from pipeline.params.tree import load_params
from pipeline.runtime.artifacts import open_artifact
from segdistill_runtime.images import Resizing
from tests.raising import raises
from tests.toy import TOY_CLASSES, toy_segmenter, write_toy_samples

PARAMS = load_params(ROOT / "params.yaml")
BASELINE, DISTILLED = "pspnet_r18", "pspnet_r18_gdd"
RUNS = {name: PARAMS.runs[name] for name in (DISTILLED, BASELINE)}  # the baseline need not come first

RESIZING = Resizing(48, 64, "letterbox")


class Toy:
    """A curated toy: 8 labelled samples, an unlabelled one with a larger image, and a dropped one that is broken."""

    def __init__(self, root: Path):
        self.root = root
        samples = read_samples(write_toy_samples(root / "data"))
        unlabelled, broken = root / "data/unlabelled.png", root / "data/broken.png"
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 80, 3), dtype=np.uint8)).save(unlabelled)
        broken.write_bytes(b"no picture")
        others = [
            Decision(Sample("u", "unlabelled", "u", unlabelled, None, sha256(unlabelled), ""), "keep", [], []),
            Decision(Sample("b", "train", "b", broken, None, "", ""), "drop", ["unreadable"], ["no picture at all"]),
        ]
        decisions = [Decision(sample, "keep", [], []) for sample in samples]
        decisions[4] = decisions[4]._replace(rules=["low_contrast"], reasons=["nearly black"])
        write_decisions(root / "data/decisions.csv", [decisions[0], *others, *decisions[1:]])
        self.labels = {sample.id: read_train_ids(sample.mask, TOY_CLASSES) for sample in samples if sample.mask}
        torch.manual_seed(0)
        segmenter, design = toy_segmenter()
        save_checkpoint(segmenter, design, {}, root / "teacher.safetensors")
        for sample in samples:
            if sample.split == "test":
                truth = np.where(self.labels[sample.id] == 255, 1, self.labels[sample.id]).astype(np.uint8)
                self.predict(DISTILLED, sample.id, truth)
                self.predict(BASELINE, sample.id, np.zeros_like(truth))

    def predict(self, run: str, sample_id: str, prediction: np.ndarray) -> Path:
        path = self.root / "evaluation" / run / "predictions" / f"{sample_id}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(prediction).save(path)
        return path

    def inspect(self, out: str = "inspection", min_confidence: float = 0.8) -> dict[str, InspectedSample]:
        inspect_dataset(
            replace(PARAMS.inspection, min_confidence=min_confidence, min_region_pixels=1),
            replace(PARAMS.evaluation, batch_size=3),
            RUNS,
            RESIZING,
            classes=self.root / "data/classes.json",
            decisions=self.root / "data/decisions.csv",
            checkpoint=self.root / "teacher.safetensors",
            evaluated=self.root / "evaluation",
            out=self.root / out,
        )
        return {sample.id: sample for sample in read_inspected(self.root / out / "samples.jsonl")}


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    return Toy(tmp_path)


def test_all_samples_in_the_order_of_the_list(toy: Toy) -> None:
    inspected = toy.inspect()
    assert list(inspected) == ["toy_0", "u", "b", *(f"toy_{i}" for i in range(1, 8))]
    first = inspected["toy_0"]
    assert (first.split, first.size, first.decision, first.rules) == ("val", (48, 64), "keep", [])
    assert first.image == (toy.root / "data/image_0.png").as_posix()
    assert first.mask_sha256 == sha256(toy.root / "data/mask_0.png")
    assert inspected["toy_4"].rules == ["low_contrast"]
    assert inspected["toy_4"].reasons == ["nearly black"]


def test_a_dropped_sample_is_listed_without_scores(toy: Toy) -> None:
    dropped = toy.inspect()["b"]
    assert (dropped.decision, dropped.rules, dropped.reasons) == ("drop", ["unreadable"], ["no picture at all"])
    assert (dropped.size, dropped.mask, dropped.hardness, dropped.mistake_score, dropped.position) == (None,) * 5
    assert (dropped.networks, dropped.mistakes) == ({}, [])
    assert not (toy.root / "inspection/predictions/b.png").exists()


def test_an_unlabelled_sample_has_a_teacher_that_cannot_be_scored(toy: Toy) -> None:
    unlabelled = toy.inspect()["u"]
    assert unlabelled.size == (64, 80)
    assert unlabelled.mistake_score is None
    assert unlabelled.hardness is not None
    assert unlabelled.position is not None
    (scores,) = unlabelled.networks.values()
    assert (scores.miou, scores.pixel_accuracy, scores.boundary_error, scores.gain) == (None,) * 4
    assert read_mask(Path(scores.prediction)).shape == (64, 80)


def test_the_teachers_predictions_are_those_of_its_checkpoint(toy: Toy) -> None:
    inspected = toy.inspect()
    with open_artifact(toy.root / "teacher.safetensors", 2) as runner:
        for sample in inspected.values():
            if sample.decision == "keep":
                (expected,) = RESIZING.segment(runner.run, [read_image(Path(sample.image))])
                assert (read_mask(Path(sample.networks["teacher"].prediction)) == expected).mean() > 0.999
                assert 0 < sample.hardness <= 1  # type: ignore[reportOptionalOperand]


def test_runs_are_scored_where_they_were_evaluated(toy: Toy) -> None:
    inspected = toy.inspect()
    for sample in inspected.values():
        scored = sample.split == "test"
        assert list(sample.networks) == (["teacher", *RUNS] if scored else ["teacher"] * (sample.decision == "keep"))
        if not scored:
            continue
        labels, seen = toy.labels[sample.id], read_mask(Path(sample.networks["teacher"].prediction))
        baseline, distilled = sample.networks[BASELINE], sample.networks[DISTILLED]
        confusion = ConfusionMatrix(3)
        confusion.add(labels, np.zeros_like(labels))
        assert baseline.miou == pytest.approx(confusion.miou())
        assert baseline.pixel_accuracy == pytest.approx(confusion.pixel_accuracy())
        assert baseline.agreement == pytest.approx((seen == 0).mean())
        assert 0 < baseline.boundary_error <= 1  # type: ignore[reportOptionalOperand]
        assert (distilled.miou, distilled.pixel_accuracy, distilled.boundary_error) == (1.0, 1.0, 0.0)
        assert distilled.gain == pytest.approx(1 - confusion.miou())
        assert baseline.gain is None
        assert sample.networks["teacher"].agreement is None
        assert distilled.prediction == (toy.root / f"evaluation/{DISTILLED}/predictions/{sample.id}.png").as_posix()


def test_what_the_teacher_is_sure_of_depends_on_the_confidence(toy: Toy) -> None:
    strict, lenient = toy.inspect(min_confidence=1.0), toy.inspect(min_confidence=0.0)
    assert all(sample.mistakes == [] for sample in strict.values())
    assert all(strict[name].mistake_score == 0.0 for name in toy.labels)
    assert any(lenient[name].mistakes for name in toy.labels)
    for name in toy.labels:
        scores = [mistake.score for mistake in lenient[name].mistakes]
        assert lenient[name].mistake_score == max(scores, default=0.0)
        assert {m.label for m in lenient[name].mistakes} <= set(TOY_CLASSES.names)


def test_embeddings_have_length_1_and_a_place(toy: Toy) -> None:
    inspected = toy.inspect()
    embeddings = np.load(toy.root / "inspection/embeddings.npy")
    kept = [sample for sample in inspected.values() if sample.decision == "keep"]
    assert embeddings.dtype == np.float32
    assert embeddings.shape == (len(kept), 16)
    assert np.linalg.norm(embeddings, axis=1) == pytest.approx(np.ones(len(kept)), abs=1e-5)
    places = np.array([sample.position for sample in kept])
    assert places.mean(axis=0) == pytest.approx(np.zeros(2), abs=1e-6)
    assert len(np.unique(places.round(6), axis=0)) == len(kept)


def test_the_same_inputs_give_the_same_bytes(toy: Toy) -> None:
    written = []
    for _ in range(2):
        toy.inspect()
        files = sorted(path for path in (toy.root / "inspection").rglob("*") if path.is_file())
        written.append([(path.name, path.read_bytes()) for path in files])
    assert len(written[0]) == 9 + 2
    assert written[0] == written[1]


def test_a_missing_prediction_names_its_stage(toy: Toy) -> None:
    toy.inspect()
    prediction = toy.root / f"evaluation/{BASELINE}/predictions/toy_3.png"
    prediction.unlink()
    with raises(ArtifactError, prediction, "[Errno 2]", "dvc repro", f"evaluate-{BASELINE}`"):
        toy.inspect()
    assert not (toy.root / "inspection/samples.jsonl").exists(), "an old list would look like a new one"


def test_a_prediction_of_another_size_is_refused(toy: Toy) -> None:
    toy.predict(DISTILLED, "toy_2", np.zeros((4, 5), dtype=np.uint8))
    with raises(ArtifactError, "toy_2.png", "4x5", "48x64", "dvc repro", f"evaluate-{DISTILLED}`"):
        toy.inspect()


def test_a_teacher_of_other_classes_is_refused(toy: Toy) -> None:
    other = replace(TOY_CLASSES, classes=TOY_CLASSES.classes[:2])
    other.save(toy.root / "data/classes.json")
    with raises(ArtifactError, toy.root / "teacher.safetensors", "box, pond", "dvc repro") as caught:
        toy.inspect()
    assert str(caught.value).count("ground, box") == 2  # of the teacher, and all of the dataset
