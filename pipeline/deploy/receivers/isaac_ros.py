"""Write the files with which Isaac ROS runs a model behind its Triton node. They have not been run there.

Isaac ROS's image nodes output float32 tensors, and its decoder reads int32 class ids with a channel axis at the end.
The released graph reads and writes uint8. Two graphs of one or two nodes convert, and an ensemble joins all three.
"""

from pathlib import Path
from typing import Any

import onnx
import onnx.parser

from pipeline.data.files import replacing, write_text
from pipeline.deploy.onnx_rules import IR_VERSION
from pipeline.deploy.receivers.served import Served
from pipeline.records.files import write_yaml

OPSET = 18
UINT8, INT32 = onnx.TensorProto.UINT8, onnx.TensorProto.INT32
TO_PIXELS, TO_CLASSES = "to_pixels", "to_classes"
PIXELS, CLASSES = "float_image", "classes"
NITROS = "nitros_tensor_list_nhwc_rgb_f32"


def write(served: Served, bundle: Path) -> None:
    """Add the converters and the ensemble to triton/, and write the nodes' parameters into isaac_ros/."""
    contract, ensemble = served.contract, f"{served.name}_isaac_ros"
    triton, out = bundle / "triton", bundle / "isaac_ros"
    for name, graph in adapters(contract).items():
        with replacing(triton / name / "1" / "model.onnx") as temporary:
            onnx.save(graph, temporary)
        write_text(triton / name / "config.pbtxt", f'name: "{name}"\nbackend: "onnxruntime"\nmax_batch_size: 0\n')
    config = served.render("isaac_ros.pbtxt.j2", ensemble=ensemble, pixels=PIXELS, class_ids=CLASSES)
    write_text(triton / ensemble / "config.pbtxt", config)
    write_text(triton / ensemble / "1" / ".keep", "")  # Triton requires a version folder, even an empty one
    colors = [each.color for each in served.classes.classes]
    write_yaml(out / "parameters.yaml", parameters(contract, ensemble, colors))
    write_text(out / "README.md", served.render("isaac_ros.md.j2", ensemble=ensemble))


def parameters(contract: dict[str, Any], ensemble: str, colors: list[tuple[int, int, int]]) -> dict[str, Any]:
    """Return the parameters by node, in the layout of ROS 2's parameter files."""
    height, width, keeps = contract["height"], contract["width"], contract["resize"]["mode"] == "letterbox"
    nodes = {
        "resize_node": {"output_width": width, "output_height": height, "keep_aspect_ratio": keeps},
        "image_format_converter_node": {"image_width": width, "image_height": height, "encoding_desired": "rgb8"},
        "image_to_tensor": {"scale": False, "tensor_name": PIXELS},
        "reshape_node": {
            "output_tensor_name": PIXELS, "input_tensor_shape": [height, width, 3],
            "output_tensor_shape": contract["input_shape"],
        },
        "triton_node": {
            "model_name": ensemble, "model_repository_paths": ["triton"], "max_batch_size": 0,
            "input_tensor_names": [PIXELS], "input_binding_names": [PIXELS], "input_tensor_formats": [NITROS],
            "output_tensor_names": [CLASSES], "output_binding_names": [CLASSES], "output_tensor_formats": [NITROS],
        },
        "unet_decoder": {
            "network_output_type": "argmax", "color_segmentation_mask_encoding": "rgb8",
            "color_palette": [red << 16 | green << 8 | blue for red, green, blue in colors],
            "mask_width": width, "mask_height": height,
        },
    }  # fmt: skip
    return {name: {"ros__parameters": values} for name, values in nodes.items()}


def adapters(contract: dict[str, Any]) -> dict[str, onnx.ModelProto]:
    """Return the two converters by name. Their input is whole numbers, so the casts do not round."""
    image, labels = contract["input"], contract["output"]
    pixels, classes = (", ".join(map(str, contract[key])) for key in ("input_shape", "output_shape"))
    cast = f"(float[{pixels}] {PIXELS}) => (uint8[{pixels}] {image}) {{ {image} = Cast<to={UINT8}>({PIXELS}) }}"
    widen = f"""(uint8[{classes}] {labels}) => (int32[{classes}, 1] {CLASSES}) <int64[1] last = {{3}}> {{
        wide = Cast<to={INT32}>({labels})
        {CLASSES} = Unsqueeze(wide, last)
    }}"""
    header = f'<ir_version: {IR_VERSION}, opset_import: ["": {OPSET}]>'
    graphs = {TO_PIXELS: cast, TO_CLASSES: widen}
    return {name: onnx.parser.parse_model(f"{header} {name} {graph}") for name, graph in graphs.items()}
