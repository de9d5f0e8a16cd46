"""Stage report: turn the files of all other stages into one page, one summary, and pictures to link to."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from pipeline.data.files import replacing, write_json, write_text
from pipeline.inspection.records import TEACHER
from pipeline.params.deployment import ReportParams
from pipeline.params.runs import RunParams
from pipeline.params.sections import Split
from pipeline.records.benchmark import BOUNDARIES
from pipeline.reporting import dataset_charts, deployment, overview, result_charts, statistics
from pipeline.reporting.formatting import template_environment
from pipeline.reporting.gallery import SampleStrip, sample_strips
from pipeline.reporting.inputs import Folders, Inputs, load
from pipeline.reporting.pictures import Row, encode_panel, example_rows, grid_png
from pipeline.reporting.style import TEACHER_COLOR, Chart, run_colors
from pipeline.reporting.summary import Summary, summarize

RESOURCES = ("templates",)


class Drawings(NamedTuple):
    """All charts and picture grids; None if there is nothing to draw."""

    charts: Mapping[str, Chart | None]  # also written as PNG files
    per_class: Mapping[str, Chart]  # by baseline
    grids: Mapping[str, Sequence[Row]]  # by run
    strips: Sequence[SampleStrip]


def write_report(
    report: ReportParams, runs: Mapping[str, RunParams], split: Split, view_samples: int, folders: Folders, out: Path
) -> None:
    """Write out/index.html, out/summary.json and out/pictures/*.png.

    Args:
        split: of the evaluation.
        view_samples: number of samples shown in each inspection view.

    Raises:
        ArtifactError, DatasetError: an input is missing or damaged; nothing is written then.
    """
    inputs = load(runs, split, folders)
    summary = summarize(report.title, inputs)
    families = {baseline: [run.name for run in family] for baseline, family in inputs.families.items()}
    colors = {**run_colors(families), TEACHER: TEACHER_COLOR}
    drawings = _draw(summary, inputs, colors, report.examples, view_samples)
    page = _render(summary, inputs, drawings, colors)

    write_json(out / "summary.json", asdict(summary))
    pngs = {name: chart.png for name, chart in drawings.charts.items() if chart is not None}
    pngs |= {f"grid_{name}": grid_png(rows, inputs.classes) for name, rows in drawings.grids.items() if rows}
    for name, png in pngs.items():
        with replacing(out / "pictures" / f"{name}.png") as temporary:
            temporary.write_bytes(png)
    write_text(out / "index.html", page)


def _draw(summary: Summary, inputs: Inputs, colors: Mapping[str, str], examples: int, view_samples: int) -> Drawings:
    runs, teacher, names = inputs.runs, inputs.teacher, inputs.classes.names
    iou = {
        baseline: {
            name: list(network.evaluation.iou_per_class.values())
            for name, network in {TEACHER: teacher, **{run.name: run for run in family}}.items()
        }
        for baseline, family in inputs.families.items()
    }
    curves = {name: network.curve for name, network in {TEACHER: teacher, **runs}.items()}
    gains = {run.run: run.gain_points for run in summary.runs if run.gain_points is not None}
    quantizations = {name: run.quantization for name, run in runs.items()}
    files = deployment.pareto_points(runs.values())
    # The grid of a distilled run shows its baseline too.
    in_grids = [run for run in runs.values() if not run.is_baseline or len(inputs.families[run.name]) == 1]
    grids = {}
    for run in in_grids:
        baseline = run.params.baseline
        compared = {TEACHER: teacher, baseline: runs[baseline], run.name: run}
        predictions = {name: network.predictions for name, network in compared.items()}
        grids[run.name] = example_rows(run.name, predictions, inputs.samples, inputs.classes, examples)
    baselines = {name: run.params.baseline for name, run in runs.items()}
    return Drawings(
        charts={
            "class_balance": dataset_charts.class_balance(names, statistics.class_shares(inputs.statistics)),
            "training": dataset_charts.training(curves, colors),
            "pareto": result_charts.pareto(files, summary.teacher.miou, colors),
            "gain": result_charts.gain(gains, colors),
            "per_class": result_charts.per_class(names, iou, colors),
            "layers": result_charts.layer_costs(quantizations, colors),
            "map": dataset_charts.sample_map(inputs.inspected),
        },
        per_class={title: result_charts.per_class(names, {title: group}, colors) for title, group in iou.items()},
        grids=grids,
        strips=sample_strips(inputs.inspected, baselines, inputs.classes, view_samples),
    )


def _render(summary: Summary, inputs: Inputs, drawings: Drawings, colors: Mapping[str, str]) -> str:
    """Fill the template: one HTML file with everything inside, for any browser, offline."""
    environment = template_environment(Path(__file__).parent / RESOURCES[0], autoescape=True)
    environment.filters["picture"] = lambda chart: _uri("image/svg+xml", chart.svg)
    environment.filters["panel"] = lambda panel: _uri(*encode_panel(panel))
    environment.filters["png"] = lambda png: _uri("image/png", png)
    runs = inputs.runs
    engine_rows, reasons = deployment.engine_rows(list(runs.values()))
    return environment.get_template("page.html.j2").render(
        summary=summary,
        inputs=inputs,
        drawings=drawings,
        colors=colors,
        headline=overview.headline(summary),
        seeds=overview.describe_seeds(summary.best, summary, inputs),
        tiles=overview.tiles(summary, inputs),
        stages=overview.stage_facts(summary, inputs),
        void_shares=statistics.void_shares(inputs.statistics),
        confused={name: statistics.most_confused(run.confusion, inputs.classes.names) for name, run in runs.items()},
        decision_rows={name: deployment.decision_rows(run) for name, run in runs.items()},
        latency_rows={name: deployment.latency_rows(run) for name, run in runs.items()},
        front=deployment.pareto_front(deployment.pareto_points(runs.values()))[::-1],
        boundaries=BOUNDARIES,
        engine_rows=engine_rows,
        reasons=reasons,
        machines=deployment.machines(inputs),
    )


def _uri(media_type: str, content: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"
