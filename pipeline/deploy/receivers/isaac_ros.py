"""Write what Isaac ROS needs to run a model behind its Triton node. It was not run there.

Its image nodes give float32 tensors, channels last, and its decoder takes int32 class ids with a channel at the end;
the released graph takes and gives uint8. Two graphs of one or two nodes convert, and an ensemble joins the three.
"""

from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper

from pipeline.data.files import replacing, write_text
from pipeline.deploy.onnx_rules import IR_VERSION
from pipeline.deploy.receivers.served import Served
from pipeline.records.files import write_yaml

OPSET = 18
TO_PIXELS, TO_CLASSES = "to_pixels", "to_classes"
PIXELS, CLASSES = "float_image", "classes"


def write(served: Served, bundle: Path) -> None:
    """Add the converters and the ensemble to triton/, and write the nodes' parameters into isaac_ros/."""
    contract, ensemble = served.contract, f"{served.name}_isaac_ros"
    triton, out = bundle / "triton", bundle / "isaac_ros"
    for name, graph in ((TO_PIXELS, _to_pixels(contract)), (TO_CLASSES, _to_classes(contract))):
        with replacing(triton / name / "1" / "model.onnx") as temporary:
            onnx.save(graph, temporary)
        write_text(triton / name / "config.pbtxt", f'name: "{name}"\nbackend: "onnxruntime"\nmax_batch_size: 0\n')
    names = {"ensemble": ensemble, "pixels": PIXELS, "class_ids": CLASSES}
    write_text(triton / ensemble / "config.pbtxt", served.render("isaac_ros.pbtxt.j2", **names))
    write_text(triton / ensemble / "1" / ".keep", "")  # the server wants a version folder even if it is empty
    colors = [each.color for each in served.classes.classes]
    write_yaml(out / "parameters.yaml", parameters(contract, ensemble, colors))
    write_text(out / "README.md", served.render("isaac_ros.md.j2", ensemble=ensemble))


def parameters(contract: dict[str, Any], ensemble: str, colors: list[tuple[int, int, int]]) -> dict[str, Any]:
    """Return the parameters by node, in the layout of ROS 2's parameter files."""
    height, width = contract["height"], contract["width"]
    nodes = {
        "resize_node": {"output_width": width, "output_height": height, "keep_aspect_ratio": False},
        "image_format_converter_node": {"image_width": width, "image_height": height, "encoding_desired": "rgb8"},
        "image_to_tensor": {"scale": False, "tensor_name": PIXELS},
        "reshape_node": {
            "output_tensor_name": PIXELS,
            "input_tensor_shape": [height, width, 3],
            "output_tensor_shape": contract["input_shape"],
        },
        "triton_node": {
            "model_name": ensemble,
            "model_repository_paths": ["triton"],
            "max_batch_size": 0,
            "input_tensor_names": [PIXELS],
            "input_binding_names": [PIXELS],
            "input_tensor_formats": ["nitros_tensor_list_nhwc_rgb_f32"],
            "output_tensor_names": [CLASSES],
            "output_binding_names": [CLASSES],
            "output_tensor_formats": ["nitros_tensor_list_nhwc_rgb_f32"],
        },
        "unet_decoder": {
            "network_output_type": "argmax",
            "color_segmentation_mask_encoding": "rgb8",
            "color_palette": [red << 16 | green << 8 | blue for red, green, blue in colors],
            "mask_width": width,
            "mask_height": height,
        },
    }
    return {name: {"ros__parameters": values} for name, values in nodes.items()}


def _to_pixels(contract: dict[str, Any]) -> onnx.ModelProto:
    """float32 0..255 to uint8; the node before gives whole numbers, so nothing is rounded."""
    cast = helper.make_node("Cast", [PIXELS], [contract["input"]], to=TensorProto.UINT8)
    shape = contract["input_shape"]
    return _graph(TO_PIXELS, [cast], (PIXELS, TensorProto.FLOAT, shape), (contract["input"], TensorProto.UINT8, shape))


def _to_classes(contract: dict[str, Any]) -> onnx.ModelProto:
    """uint8 (1, H, W) to int32 (1, H, W, 1)."""
    shape = contract["output_shape"]
    last = helper.make_tensor("last", TensorProto.INT64, [1], [len(shape)])
    nodes = [
        helper.make_node("Cast", [contract["output"]], ["wide"], to=TensorProto.INT32),
        helper.make_node("Unsqueeze", ["wide", "last"], [CLASSES]),
    ]
    ends = (contract["output"], TensorProto.UINT8, shape), (CLASSES, TensorProto.INT32, [*shape, 1])
    return _graph(TO_CLASSES, nodes, *ends, [last])


def _graph(
    name: str,
    nodes: list[onnx.NodeProto],
    taken: tuple[str, int, list[int]],
    given: tuple[str, int, list[int]],
    constants: list[TensorProto] | None = None,
) -> onnx.ModelProto:
    first, last = (helper.make_tensor_value_info(end, kind, shape) for end, kind, shape in (taken, given))
    graph = helper.make_graph(nodes, name, [first], [last], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
