"""The training curve on disk."""

import csv
import io
from pathlib import Path

from pipeline.data.files import write_text


def write_curve(path: Path, curve: list[dict[str, float]]) -> None:
    """Write one CSV row for each logged iteration."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(curve[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: f"{value:.6g}" for key, value in row.items()} for row in curve)
    write_text(path, text.getvalue())
