"""Stage report: turn the files of all other stages into one page, one summary, and pictures to link to."""

import base64
from collections.abc import Mapping
from pathlib import Path

from pipeline.data.files import replacing, write_json, write_text
from pipeline.inspection.records import TEACHER
from pipeline.params.deployment import ReportParams
from pipeline.params.runs import RunParams
from pipeline.params.sections import Split
from pipeline.records.benchmark import BOUNDARIES
from pipeline.reporting import charts, deployment, summary
from pipeline.reporting.formatting import template_environment
from pipeline.reporting.gallery import sample_strips
from pipeline.reporting.inputs import Folders, Inputs, load
from pipeline.reporting.pictures import Row, encode_panel, example_rows, grid_png
from pipeline.reporting.style import TEACHER_COLOR, run_colors

RESOURCES = ("templates",)


def write_report(
    report: ReportParams, runs: Mapping[str, RunParams], split: Split, view_samples: int, folders: Folders, out: Path
) -> None:
    """Write out/index.html, out/summary.json and out/pictures/*.png about the evaluation's `split`.

    If an input is missing or damaged, nothing is written and ArtifactError or DatasetError is raised.
    """
    inputs = load(runs, split, folders)
    families = [[run.name for run in family] for family in inputs.families.values()]
    colors = {**run_colors(families), TEACHER: TEACHER_COLOR}
    compared = {
        baseline: [inputs.teacher.evaluation, *(run.evaluation for run in family)]
        for baseline, family in inputs.families.items()
    }
    networks = {TEACHER: inputs.teacher, **inputs.runs}
    curves = {name: network.curve for name, network in networks.items()}
    gains = {name: run.gain_points for name, run in inputs.runs.items() if run.gain_points is not None}
    quantizations = {name: run.quantization for name, run in inputs.runs.items()}
    files = deployment.pareto_points(inputs.runs.values())
    drawn = {
        "class_balance": charts.class_balance(inputs.statistics),
        "training": charts.training(curves, colors),
        "pareto": charts.pareto(files, inputs.teacher.evaluation.miou, colors),
        "gain": charts.gain(gains, colors),
        "per_class": charts.per_class(compared, colors),
        "layers": charts.layer_costs(quantizations, colors),
        "map": charts.sample_map(inputs.inspected),
    }
    grids = _grids(inputs, report.examples)
    baselines = {name: run.params.baseline for name, run in inputs.runs.items()}
    reasons = [engine.reason for run in inputs.runs.values() for engine in run.engines.engines if engine.reason]
    environment = template_environment(Path(__file__).parent / RESOURCES[0], autoescape=True)
    environment.filters["picture"] = lambda chart: _uri("image/svg+xml", chart.svg)
    environment.filters["panel"] = lambda panel: _uri(*encode_panel(panel))
    page = environment.get_template("page.html.j2").render(
        title=report.title,
        inputs=inputs,
        colors=colors,
        charts=drawn,
        per_class={baseline: charts.per_class({baseline: group}, colors) for baseline, group in compared.items()},
        confusion={n: charts.confusion(network.confused, inputs.classes.names) for n, network in networks.items()},
        grids=grids,
        strips=sample_strips(inputs.inspected, baselines, inputs.classes, view_samples),
        headline=summary.headline(inputs),
        seeds=summary.describe_seeds(inputs),
        stages=summary.stage_facts(inputs),
        decision_rows={name: deployment.decision_rows(run) for name, run in inputs.runs.items()},
        latency_rows={name: deployment.latency_rows(run) for name, run in inputs.runs.items()},
        front=deployment.pareto_front(files)[::-1],
        boundaries=BOUNDARIES,
        reasons=list(dict.fromkeys(reasons)),
        machines=deployment.machines(inputs.runs.values()),
    )
    write_json(out / "summary.json", summary.summarize(report.title, inputs))
    pngs = {name: chart.png for name, chart in drawn.items() if chart is not None}
    pngs |= {f"grid_{name}": grid_png(rows, inputs.classes) for name, rows in grids.items() if rows}
    for name, png in pngs.items():
        with replacing(out / "pictures" / f"{name}.png") as temporary:
            temporary.write_bytes(png)
    write_text(out / "index.html", page)


def _grids(inputs: Inputs, examples: int) -> dict[str, list[Row]]:
    """Return the picture grid of each run; that of a distilled run shows its baseline too."""
    grids = {}
    for name, run in inputs.runs.items():
        if not run.is_baseline or len(inputs.families[name]) == 1:
            baseline = run.params.baseline
            networks = {TEACHER: inputs.teacher, baseline: inputs.runs[baseline], name: run}
            predictions = {network: of.predictions for network, of in networks.items()}
            scores = run.predictions.image_scores
            grids[name] = example_rows(scores, predictions, inputs.samples, inputs.classes, examples)
    return grids


def _uri(media_type: str, content: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"
