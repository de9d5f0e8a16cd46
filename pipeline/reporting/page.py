"""The page: one HTML file with everything inside, for any browser, offline."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jinja2

from pipeline.reporting import deployment, findings, overview, wording
from pipeline.reporting.charts import TEACHER_COLOR, Chart
from pipeline.reporting.deployed import BOUNDARIES
from pipeline.reporting.gallery import Wall
from pipeline.reporting.material import Material
from pipeline.reporting.pictures import Row, encode_panel
from pipeline.reporting.summary import Summary

TEMPLATES = Path(__file__).parent / "templates"


class Drawings(NamedTuple):
    """All charts and picture grids; None where there is nothing to draw."""

    class_balance: Chart
    training: Chart
    pareto: Chart | None
    gain: Chart | None
    per_class: Chart  # all families in one, for a file
    per_class_by_family: Mapping[str, Chart]
    layers: Chart | None  # what int8 costs, layer by layer
    grids: Mapping[str, Sequence[Row]]
    map: Chart  # of all samples that were inspected
    walls: Sequence[Wall]


def render_page(summary: Summary, material: Material, drawings: Drawings, colors: Mapping[str, str]) -> str:
    """Fill the template; `colors` are those that the runs have in the charts."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    for formatter in (
        wording.percent, wording.agreement, wording.points, wording.number, wording.scientific, wording.count,
        wording.counted, wording.millions, wording.mebibytes, wording.milliseconds, wording.times,
        wording.listed, wording.runtime, wording.network,
    ):  # fmt: skip
        environment.filters[formatter.__name__] = formatter
    environment.filters["picture"] = _chart_uri
    environment.filters["panel"] = lambda panel: _uri(*encode_panel(panel))
    environment.filters["png"] = lambda png: _uri("image/png", png)
    names = material.classes.names
    runs = material.runs
    engine_rows, reasons = deployment.engine_rows(list(runs.values()))
    return environment.get_template("page.html.j2").render(
        summary=summary,
        material=material,
        drawings=drawings,
        colors=colors,
        teacher_color=TEACHER_COLOR,
        headline=wording.headline(summary),
        seeds=wording.seeds_in_words(summary.best, summary, material),
        tiles=overview.tiles(summary, material),
        stages=overview.stage_facts(summary, material),
        void_shares=findings.void_shares(material.statistics),
        confused={name: findings.most_confused(run.judged.confusion, names) for name, run in runs.items()},
        decision_rows={name: deployment.decision_rows(run) for name, run in runs.items()},
        latency_rows={name: deployment.latency_rows(run) for name, run in runs.items()},
        file_rows={name: deployment.file_rows(run) for name, run in runs.items()},
        not_run={name: deployment.not_run(run) for name, run in runs.items()},
        front_rows=deployment.front_rows(deployment.spots(runs.values(), colors)),
        boundaries=BOUNDARIES,
        engine_rows=engine_rows,
        reasons=reasons,
        machines=deployment.machines(material),
        loads=deployment.loads(material),
    )


def _chart_uri(chart: Chart) -> str:
    return _uri("image/svg+xml", chart.svg)


def _uri(media_type: str, content: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"
