"""Try every network and every training of the profile on small inputs."""

import copy
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from models.build import build_segmenter
from models.export_wrappers import LabelsGraph
from models.meta import without_memory
from models.segmenter import Segmenter
from pipeline.data.classes import ClassTable
from pipeline.distillation.inheritance import inherit_layers
from pipeline.distillation.method import run_methods
from pipeline.distillation.objective import distillation_objective
from pipeline.distillation.pruned import cut_out
from pipeline.errors import ParamsError
from pipeline.measure.cost import multiply_accumulates
from pipeline.params.training import NetworkParams, TrainingParams, WeightsParams
from pipeline.preflight.inputs import Complaint, Inputs, noted
from pipeline.training.network import design_of, new_network
from pipeline.training.objective import Objective, SupervisedObjective, Task
from segdistill_runtime.runner import InputShape

SIDE = 128  # pixels; side of the part of a crop that a network sees in a trial
TESTED_HEADS, TESTED_BACKBONES = {"pspnet", "deeplabv3", "ladder"}, {"resnet18", "resnet18_v1b", "resnet18_v1c"}


def build(inputs: Inputs, table: ClassTable, complaints: list[Complaint]) -> dict[str, Segmenter]:
    """Return the untrained network of each place, except those that cannot be built or do not take these sizes."""
    known: dict[str, Segmenter | list[Complaint]] = {}
    built = {}
    for place, run in inputs.trained.items():
        begins_elsewhere = inputs.is_there(place) or run.network.weights.source == "pretraining"
        network = replace(run.network, weights=WeightsParams()) if begins_elsewhere else run.network
        training = inputs.training_of(place)
        sizes = {(training.crop_height, training.crop_width), (inputs.export.height, inputs.export.width)}
        same = repr((network, sizes))
        if same not in known:
            found: list[Complaint] = []
            with noted(found, place):
                segmenter = known[same] = new_network(network, table, run.seed)[0]
                with without_memory():
                    meta = build_segmenter(design_of(network, tuple(table.names)))
                    for height, width in sizes:
                        multiply_accumulates(meta, height, width)
                segmenter.eval()
            if found:
                known[same] = found
        outcome = known[same]
        if isinstance(outcome, Segmenter):
            built[place] = outcome
        else:
            complaints += [Complaint(place, reason) for _, reason in outcome]
    return built


def export(inputs: Inputs, table: ClassTable, built: Mapping[str, Segmenter], complaints: list[Complaint]) -> None:
    """Export each different student in each shape, as stage export will, except those that tests export (5 s each)."""
    asked = inputs.export
    shapes = [InputShape(1, asked.height, asked.width)]
    shapes += [InputShape(each.batch, each.height, each.width) for each in asked.other_shapes]
    known: dict[str, list[Complaint]] = {}
    for place, run in inputs.trained.items():
        if place not in built or place == "teacher":
            continue
        design = design_of(run.network, tuple(table.names))
        if design.architecture in TESTED_HEADS and design.backbone in TESTED_BACKBONES:
            continue
        from pipeline.deploy.onnx_export import export_graph  # its import takes a second

        if repr(design) not in known:
            found = known[repr(design)] = []
            for shape in shapes:
                with noted(found, place), TemporaryDirectory() as folder:
                    export_graph(LabelsGraph(built[place]), design, shape, asked.opset, Path(folder) / "model.onnx")
        complaints += [Complaint(place, reason) for _, reason in known[repr(design)]]


def learn(inputs: Inputs, table: ClassTable, built: Mapping[str, Segmenter], complaints: list[Complaint]) -> None:
    """Start each different training as its stage will, and differentiate the loss of two small crops."""
    known: dict[str, list[Complaint]] = {}
    for place, run in inputs.trained.items():
        training = inputs.training_of(place)
        task = Task.of(training, None)
        source = run.prune.source.replace("students/", "runs.") if run.prune.prunes else place
        if not built.keys() >= {place, source} | ({"teacher"} if run.has_teacher else set()):
            continue
        same = repr((run.network, run.distill, run.inherit_layers, run.prune, training))
        if same not in known:
            found = known[same] = []
            with noted(found, place):
                student = copy.deepcopy(built[source])
                teacher = copy.deepcopy(built["teacher"]) if run.has_teacher else student
                if run.prune.prunes:
                    design = design_of(inputs.trained[source].network, tuple(table.names))
                    student, _ = cut_out(student, design, run.network, run.prune.keep)
                if run.inherit_layers:
                    inherit_layers(student, teacher)
                objectives: list[Objective] = [SupervisedObjective(student, task)]
                if run.distill:
                    methods = run_methods(run.distill, inputs.methods)
                    distilling = distillation_objective(student, teacher, run, methods, task)
                    before = (preparation.objective for preparation in distilling.preparations().values())
                    objectives = [distilling, *before]
                for objective in objectives:
                    objective.train()
                    try:
                        _differentiate(objective, run.network, training, len(table.classes), SIDE)
                    except ParamsError:  # a method needs more cells; the whole crop may have enough
                        _differentiate(objective, run.network, training, len(table.classes), None)
        complaints += [Complaint(place, reason) for _, reason in known[same]]


def _differentiate(
    objective: Objective, network: NetworkParams, training: TrainingParams, classes: int, side: int | None
) -> None:
    """Compute the gradient for two random crops; the network sees at most `side` pixels in height and width.

    If `side` is None, it sees the whole crops.
    """
    height, width = training.crop_height, training.crop_width
    if side is not None:
        most = round(side / network.input_scale)
        height, width = min(height, most), min(width, most)
    image = torch.randint(256, (2, 3, height, width), dtype=torch.uint8)
    labels = torch.randint(classes, (2, height, width), dtype=torch.uint8)
    objective(image, labels, torch.zeros(2, 4)).total.backward()
