"""The input of each function that writes a receiver's folder."""

from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import StrictUndefined, Template

from pipeline.data.classes import ClassTable

RESOURCES = ("templates",)  # files that count in the digest of this code


class Served(NamedTuple):
    """A model that a server runs."""

    contract: dict[str, Any]  # content of preprocessing.json
    precision: str
    backend: str  # the backend of Triton that runs the graph
    graph: Path
    classes: ClassTable

    @property
    def name(self) -> str:
        return f"{self.contract['run']}_{self.precision}"

    def render(self, template: str, **more: object) -> str:
        """Fill in a template with the contract's values, the model's name and its backend."""
        text = (Path(__file__).parent / "templates" / template).read_text(encoding="utf-8")
        filled = Template(text, undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True)
        return filled.render(**self.contract, model=self.name, backend=self.backend, **more)
