"""Write a model repository that Triton mounts unchanged, with a second copy of the graph. It has not been run."""

import shutil
from pathlib import Path

from pipeline.data.files import replacing, write_text
from pipeline.data.images import read_image
from pipeline.deploy.receivers.served import Served

WARM_UP = "golden"  # file in warmup/: raw pixels of the first request


def write(served: Served, bundle: Path) -> None:
    """Write triton/RUN_PRECISION/: config.pbtxt, labels.txt, 1/model.onnx and the pixels of the first request."""
    model = bundle / "triton" / served.name
    (model / "1").mkdir(parents=True)
    shutil.copyfile(served.graph, model / "1" / "model.onnx")
    write_text(model / "labels.txt", "".join(f"{name}\n" for name in served.classes.names))
    with replacing(model / "warmup" / WARM_UP) as temporary:
        temporary.write_bytes(read_image(bundle / served.contract["golden"]["image"]).tobytes())
    write_text(model / "config.pbtxt", served.render("triton.pbtxt.j2", warm_up=WARM_UP))
