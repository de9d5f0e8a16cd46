"""Checkpoints: one safetensors file with weights and the description of their network. No pickle, no teacher inside."""

import json
from dataclasses import asdict
from pathlib import Path

import torch
from pydantic import TypeAdapter
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from models.backbone import FACTS
from models.build import Design, build_segmenter
from models.errors import ModelError
from models.meta import without_memory
from models.segmenter import Segmenter
from segdistill_runtime.errors import lacks_memory

FORMAT = "segdistill-3"
FORMATS = (FORMAT, "segdistill-2")  # readable formats; fields that an older design lacks get their defaults
UNBUILDABLE = (RuntimeError, ValueError, KeyError, TypeError, IndexError, AttributeError, AssertionError)


def save_checkpoint(segmenter: Segmenter, design: Design, facts: dict[str, str], path: Path) -> None:
    """Write weights, design and further facts (text) to `path`: a temporary name, because writing is not atomic.

    The auxiliary head is written too: it is part of the trained network, and export removes it. The header has one
    entry because safetensors writes several in random order. So equal checkpoints are equal files.
    """
    header = {FORMAT: json.dumps({"design": asdict(design), "facts": facts})}
    tensors = {name: tensor.contiguous() for name, tensor in segmenter.state_dict().items()}
    save_file(tensors, path, metadata=header)


def load_checkpoint(path: Path) -> tuple[Segmenter, Design, dict[str, str]]:
    """Rebuild a network in eval mode from its checkpoint alone; returns it with its design and facts.

    Raises ModelError if the file is missing, is not a checkpoint of this project, or its weights do not fit its header.
    """
    if not path.is_file():
        raise ModelError(f"there is no checkpoint at {path}; run the stage that trains it: dvc repro")
    try:
        with safe_open(path, framework="pt") as file:
            header, names = file.metadata() or {}, list(file.keys())
            form = next((form for form in FORMATS if form in header), None)
            if form is None:
                raise ModelError(
                    f"it is not a checkpoint in the format {FORMAT} (its header: {list(header)}); run dvc repro"
                )
            saved = json.loads(header[form])
            design = TypeAdapter(Design).validate_json(json.dumps(saved["design"]))
            facts = FACTS.validate_python(saved["facts"])
            segmenter = _empty(design, {name: tuple(file.get_slice(name).get_shape()) for name in names})
            weights = {name: file.get_tensor(name).clone() for name in names}  # copied: else they are pages of the file
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} is damaged ({error}); delete it and run dvc repro") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelError(
            f"the header of {path} does not describe a network of this project ({error!r}); delete it and run dvc repro"
        ) from error
    try:
        segmenter.load_state_dict(weights, assign=True)
        if any(tensor.is_meta for tensor in segmenter.buffers()):  # computed, not saved: rotary embeddings
            with torch.random.fork_rng(devices=[]):  # this initialization is overwritten: leave the random state alone
                segmenter = build_segmenter(design)
            segmenter.load_state_dict(weights)
    except UNBUILDABLE as error:
        if lacks_memory(error):
            raise
        raise ModelError(
            f"{path} describes a network that cannot be built ({error!r}); delete it and run dvc repro"
        ) from error
    return segmenter.eval(), design, facts


def load_for_inference(path: Path, threads: int) -> tuple[Segmenter, Design, torch.device]:
    """Rebuild a network to predict in full float32, on the GPU if there is one.

    By default, PyTorch computes convolutions on a GPU in TF32. Its 10 bits of mantissa change more pixels than parity
    allows.
    """
    torch.set_num_threads(threads)
    torch.backends.cudnn.allow_tf32 = False
    torch.set_float32_matmul_precision("highest")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    segmenter, design, _ = load_checkpoint(path)
    return segmenter.to(device, memory_format=torch.channels_last), design, device  # type: ignore[reportCallIssue]


def _empty(design: Design, found: dict[str, tuple[int, ...]]) -> Segmenter:
    """Build a network without memory for its tensors; raises ModelError if the file's names or shapes differ."""
    try:
        with without_memory():
            segmenter = build_segmenter(design)
    except UNBUILDABLE as error:
        raise ModelError(
            f"it describes a network that cannot be built ({error!r}); delete it and run dvc repro"
        ) from error
    expected = {name: tuple(tensor.shape) for name, tensor in segmenter.state_dict().items()}
    if wrong := sorted({name for name, _ in expected.items() ^ found.items()}):
        raise ModelError(
            f"its tensors do not fit the network that it describes: {len(wrong)} differ ({', '.join(wrong[:3])}); "
            f"delete it and run dvc repro"
        )
    return segmenter
