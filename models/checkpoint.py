"""Checkpoints: one safetensors file that says itself how to rebuild the network. No pickle, no teacher inside."""

import json
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from models.build import Design, build_segmenter
from models.errors import ModelError
from models.segmenter import Segmenter

FORMAT = "segdistill-3"
WHOLE = {"input_scale": 1.0, "channels": {}}
ADDED: dict[str, dict[str, object]] = {FORMAT: {}, "segdistill-2": WHOLE}
"""What the designs of each readable form lack: networks were once always whole and saw the image at its own size."""


def save_checkpoint(segmenter: Segmenter, design: Design, facts: dict[str, str], path: Path) -> None:
    """Write weights, design and further facts (text) to `path`, which must be a temporary name of the caller's.

    The auxiliary head is written too: it belongs to the network that was trained, and export leaves it out. The header
    has one entry because safetensors writes several in random order: equal checkpoints shall be equal files.
    """
    header = {FORMAT: json.dumps({"design": asdict(design), "facts": facts})}
    tensors = {name: tensor.contiguous() for name, tensor in segmenter.state_dict().items()}
    save_file(tensors, path, metadata=header)


def load_checkpoint(path: Path) -> tuple[Segmenter, Design, dict[str, str]]:
    """Rebuild a network in eval mode, with its design and facts; nothing else is needed.

    Raises:
        ModelError: no such file, not a checkpoint of this project, or weights that do not fit their own header.
    """
    if not path.is_file():
        raise ModelError(f"no checkpoint at {path}; run the stage that trains it: dvc repro")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            form = next((form for form in ADDED if form in header), None)
            if form is None:
                raise ModelError(f"{path} is not a checkpoint in the form {FORMAT} (its header: {list(header)})")
            saved = json.loads(header[form])
            class_names = tuple(saved["design"]["class_names"])
            design = Design(**ADDED[form] | saved["design"] | {"class_names": class_names})
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except SafetensorError as error:
        raise ModelError(f"{path} is damaged ({error}); delete it and run dvc repro") from error
    with torch.random.fork_rng(devices=[]):  # the random initialization that is overwritten must not move the seed
        segmenter = build_segmenter(design)
    segmenter.load_state_dict(weights)
    return segmenter.eval(), design, saved["facts"]
