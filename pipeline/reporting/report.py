"""The last stage: the files of all others become one page, one summary, and pictures for documents to link to."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from pipeline.data.files import replacing, write_json, write_text
from pipeline.params import ReportParams, Split
from pipeline.params.runs import RunParams
from pipeline.reporting import comparison, figures
from pipeline.reporting.charts import TEACHER_COLOR, run_colors
from pipeline.reporting.deployment import judged_layers, spots
from pipeline.reporting.findings import class_shares, places_by_split
from pipeline.reporting.gallery import gallery
from pipeline.reporting.layer_costs import layer_costs
from pipeline.reporting.material import TEACHER, Folders, Material, Run, gather
from pipeline.reporting.page import Drawings, render_page
from pipeline.reporting.pictures import grid_png, picture_grid
from pipeline.reporting.summary import Summary, summarize


def write_report(
    report: ReportParams, runs: Mapping[str, RunParams], split: Split, view_samples: int, folders: Folders, out: Path
) -> None:
    """Write out/index.html, out/summary.json and out/pictures/*.png.

    Args:
        split: that of the evaluation.
        view_samples: how many samples of each view are shown.

    Raises:
        ReportError, ClassTableError, SampleListError, InspectionError: an input is missing or damaged; nothing is
            written then.
    """
    material = gather(runs, split, folders)
    summary = summarize(report.title, material)
    families = {baseline: [run.name for run in family] for baseline, family in material.families.items()}
    colors = {**run_colors(families), TEACHER: TEACHER_COLOR}
    drawings = draw_all(summary, material, colors, report.examples, view_samples)
    page = render_page(summary, material, drawings, colors)

    write_json(out / "summary.json", asdict(summary))
    for name, png in _png_files(drawings, material).items():
        with replacing(out / "pictures" / name) as temporary:
            temporary.write_bytes(png)
    write_text(out / "index.html", page)


def draw_all(
    summary: Summary, material: Material, colors: Mapping[str, str], examples: int, view_samples: int
) -> Drawings:
    """Draw every chart and picture grid."""
    grids = {run.name: picture_grid(run, material, examples) for run in _shown_in_grids(material)}
    baselines = {name: run.params.baseline for name, run in material.runs.items()}
    names = material.classes.names
    groups = {baseline: _iou_series(family, material, colors) for baseline, family in material.families.items()}
    curves = {TEACHER: material.teacher.curve, **{name: run.judged.curve for name, run in material.runs.items()}}
    bars = [comparison.Bar(r.run, r.gain_points, colors[r.run]) for r in summary.runs if r.gain_points is not None]
    layers = {name: judged_layers(run, colors[name]) for name, run in material.runs.items()}
    return Drawings(
        class_balance=figures.class_balance(names, class_shares(material.statistics)),
        training=figures.training(curves, colors),
        pareto=comparison.pareto(spots(material.runs.values(), colors), summary.teacher.miou),
        gain=comparison.gain(bars),
        per_class=comparison.per_class(names, groups),
        per_class_by_family={title: comparison.per_class(names, {title: group}) for title, group in groups.items()},
        layers=layer_costs(layers),
        grids=grids,
        map=figures.sample_map(places_by_split(material.inspected)),
        walls=gallery(material.inspected, baselines, material.classes, view_samples),
    )


def _iou_series(family: list[Run], material: Material, colors: Mapping[str, str]) -> list[comparison.IoUSeries]:
    judged = {TEACHER: material.teacher, **{run.name: run.judged for run in family}}
    return [
        comparison.IoUSeries(name, list(entry.evaluation.iou_per_class.values()), colors[name])
        for name, entry in judged.items()
    ]


def _shown_in_grids(material: Material) -> list[Run]:
    """Distilled runs, whose grids show their baselines too, and baselines that nothing is compared with."""
    return [run for run in material.runs.values() if not run.is_baseline or len(material.families[run.name]) == 1]


def _png_files(drawings: Drawings, material: Material) -> dict[str, bytes]:
    charts = {
        "class_balance": drawings.class_balance,
        "training": drawings.training,
        "pareto": drawings.pareto,
        "gain": drawings.gain,
        "per_class": drawings.per_class,
        "layers": drawings.layers,
        "map": drawings.map,
    }
    files = {f"{name}.png": chart.png for name, chart in charts.items() if chart is not None}
    grids = {f"grid_{name}.png": grid_png(rows, material.classes) for name, rows in drawings.grids.items() if rows}
    return files | grids
