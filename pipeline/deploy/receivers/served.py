"""What every receiver's folder is made from."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pipeline.data.classes import ClassTable

RESOURCES = ("templates",)  # files that belong to this code, for its digest
TEMPLATES = Path(__file__).parent / RESOURCES[0]


class Served(NamedTuple):
    """A model that a server runs."""

    contract: dict[str, Any]  # content of preprocessing.json
    precision: str
    backend: str  # of Triton, which runs the graph
    graph: Path
    image: np.ndarray  # the golden image, uint8 (H, W, 3)
    classes: ClassTable

    @property
    def name(self) -> str:
        return f"{self.contract['run']}_{self.precision}"

    def render(self, template: str, **more: object) -> str:
        """Fill in a template with the contract's values, the model's name and its backend."""
        environment = Environment(
            loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True
        )
        return environment.get_template(template).render(**self.contract, model=self.name, backend=self.backend, **more)
