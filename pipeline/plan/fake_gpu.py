"""A simulated GPU: training steps on PyTorch's fake tensors, which have only a shape, a type and a device.

No kernel runs. Mixed devices and types fail as on a GPU, and memory can be counted. Effects of real kernels are
invisible: numbers, speed, driver errors, fragmentation, races between streams.
"""

import traceback
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch._subclasses import fake_tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.fx.experimental.symbolic_shapes import ShapeEnv
from torch.utils._python_dispatch import TorchDispatchMode

from models.resize import kept_weights
from pipeline.training.fabric import Fabric, launch

GIBIBYTE = 2**30
ROOT = Path(__file__).parents[2]
OURS = tuple(str(ROOT / folder) for folder in ("pipeline", "models"))


def fake_fabric(precision: str, capability: tuple[int, int] = (9, 0), deterministic: bool = False) -> Fabric:
    """Set up training on one GPU of this compute capability, even if the machine has none."""
    facts = SimpleNamespace(name="fake GPU", major=capability[0], minor=capability[1], total_memory=80 * GIBIBYTE)
    answers: dict[str, Any] = {
        "is_available": True, "device_count": 1, "current_device": 0, "is_initialized": True, "get_device_name": "fake",
        "get_device_capability": capability, "get_device_properties": facts, "set_device": None, "empty_cache": None,
        "is_bf16_supported": capability >= (8, 0),
    }  # fmt: skip
    with ExitStack() as stack:
        for name, answer in answers.items():
            stack.enter_context(patch.object(torch.cuda, name, lambda *_, answer=answer, **__: answer))
        # `launch` sets these for the whole process, which only a real GPU may keep.
        stack.callback(setattr, torch.backends.cudnn, "benchmark", torch.backends.cudnn.benchmark)
        stack.callback(torch.set_float32_matmul_precision, torch.get_float32_matmul_precision())
        return launch(1, precision, deterministic)


@contextmanager
def fake_gpu() -> Iterator["Watch"]:
    """Make `cuda` a device of fake tensors: inside the block, new tensors are fake, and gradients can be computed."""
    backward_of_others = Tensor.backward

    def backward(tensor: Tensor, *arguments: Any, **named: Any) -> None:
        if isinstance(tensor, FakeTensor):
            return run_backward(tensor, *arguments, **named)
        return backward_of_others(tensor, *arguments, **named)

    mode = FakeTensorMode(allow_non_fake_inputs=True, shape_env=ShapeEnv())
    with (
        patch.object(fake_tensor, "init_gpu_context", lambda _device: None),  # would start the driver
        patch.object(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False),  # autocast would be off
        patch.object(torch.cuda, "is_bf16_supported", lambda *_, **__: True),  # as above
        patch.object(Tensor, "backward", backward),
        patch.object(nn.Module, "to", _move),
        keep_saved_tensors(),
    ):
        kept_weights.cache_clear()  # fake weights must not be found outside the block, nor real ones inside
        try:
            with mode, Watch() as watch:
                yield watch
        finally:
            kept_weights.cache_clear()


def _move(
    module: nn.Module, device: torch.device, memory_format: torch.memory_format = torch.preserve_format
) -> nn.Module:
    """Replace `module.to`, which cannot exchange fake parameters: put fake ones on the device in their places."""
    for part in module.modules():
        for tensors in (part._parameters, part._buffers):
            for name, tensor in tensors.items():
                if tensor is None:
                    continue
                form = memory_format if tensor.dim() == 4 else torch.preserve_format
                fake = torch.empty_like(tensor, device=device, memory_format=form)
                learns = isinstance(tensor, nn.Parameter)
                tensors[name] = nn.Parameter(fake, requires_grad=tensor.requires_grad) if learns else fake  # type: ignore[reportArgumentType]
    return module


class Watch(TorchDispatchMode):
    """Sees every operator, counts where the host waits for the device, and returns zeros for values that it reads.

    A size that depends on the data becomes a quarter of the largest possible size.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waits: Counter[tuple[str, str]] = Counter()  # (kind of wait, file:function of ours)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        first = args[0] if args and isinstance(args[0], Tensor) else None
        if name == "_to_copy" and not kwargs.get("non_blocking"):
            self._copied(args[0].device, kwargs.get("device") or args[0].device)
        elif name == "copy_" and not (len(args) > 2 and args[2]):
            self._copied(args[1].device, args[0].device)
        elif name == "_fused_sgd_":  # PyTorch has no fake form of it
            return _check_fused_sgd(*args, **kwargs)
        elif first is not None and first.device.type == "cuda":
            if name == "_local_scalar_dense":
                self._wait("value read")
                return False if first.dtype == torch.bool else 0.0 if first.is_floating_point() else 0
            if name == "nonzero":
                self._wait("nonzero")
                return first.new_empty((_some(first), first.dim()), dtype=torch.int64)
            if name == "_unique2":
                self._wait("unique")
                return (
                    first.new_empty(3),
                    first.new_empty(first.shape, dtype=torch.int64),
                    first.new_empty(3, dtype=torch.int64),
                )
            if name in ("index", "index_put", "index_put_", "_unsafe_index"):
                args = (first, self._positions(args[1]), *args[2:])
        return func(*args, **kwargs)

    def _copied(self, source: torch.device, target: torch.device) -> None:
        source, target = torch.device(source), torch.device(target)
        if source.type != target.type:
            self._wait(f"copy from {source.type} to {target.type}")

    def _positions(self, index: Sequence[Tensor | None]) -> list[Tensor | None]:
        """Turn boolean masks into positions; the host must know their number."""
        positions: list[Tensor | None] = []
        for each in index:
            if each is not None and each.dtype == torch.bool:
                self._wait("boolean index")
                positions += [each.new_empty(_some(each), dtype=torch.int64) for _ in range(each.dim())]
            else:
                if each is not None and each.device.type == "cpu":
                    self._wait("index on the CPU")
                positions.append(each)
        return positions

    def _wait(self, what: str) -> None:
        frames = (
            f for f in reversed(traceback.extract_stack()) if f.filename.startswith(OURS) and f.filename != __file__
        )
        place = next((f"{Path(f.filename).relative_to(ROOT)}:{f.name}" for f in frames), "?")
        self.waits[what, place] += 1


def _some(tensor: Tensor) -> int:
    return max(1, tensor.numel() // 4)


def _check_fused_sgd(
    parameters: Sequence[Tensor], gradients: Sequence[Tensor], momenta: Sequence[Tensor], **_: Any
) -> None:
    """Check what a GPU's kernel requires: equal types, devices and layouts."""
    for parameter, *others in zip(parameters, gradients, momenta, strict=True):
        for other in others:
            same = (parameter.dtype, parameter.device, parameter.shape) == (other.dtype, other.device, other.shape)
            strides = zip(parameter.stride(), other.stride(), parameter.shape, strict=True)
            assert same, (parameter, other)
            assert all(a == b or side == 1 for a, b, side in strides), (parameter.stride(), other.stride())


class _Saved:
    """A tensor that the graph keeps for the backward pass; `run_backward` empties it where PyTorch would free it."""

    used: ClassVar[list[Any]] = []

    def __init__(self, tensor: Tensor):
        self.tensor: Tensor | None = tensor


def keep_saved_tensors() -> torch.autograd.graph.saved_tensors_hooks:
    """Return a context in which `run_backward` can free a graph's tensors while it runs."""
    return torch.autograd.graph.saved_tensors_hooks(_Saved, _use)


def _use(saved: _Saved) -> Tensor:
    assert saved.tensor is not None, "the graph is differentiated twice; its first backward pass must retain it"
    _Saved.used.append(saved)
    return saved.tensor


@torch.no_grad()
def run_backward(loss: Tensor, gradient: Tensor | None = None, retain_graph: bool | None = None) -> None:
    """Differentiate as `loss.backward()` does, one node of the graph after the other.

    PyTorch's own engine refuses GPU tensors if there is no driver. Its checks are made here too: a gradient has its
    input's shape, type and device.
    """
    root = loss.grad_fn
    assert root is not None, "nothing to differentiate"
    pending = _uses(root)
    gradients: dict[Any, dict[int, Tensor]] = defaultdict(dict)
    gradients[root][loss.output_nr] = torch.ones_like(loss) if gradient is None else gradient
    ready = [root]
    while ready:
        node = ready.pop()
        given = gradients.pop(node, {})
        if type(node).__name__ == "AccumulateGrad":
            _accumulate(node.variable, given.get(0))  # type: ignore[reportAttributeAccessIssue]
            continue
        for (after, place), found in zip(node.next_functions, _apply(node, given, bool(retain_graph)), strict=False):
            if after is None:
                continue
            if found is not None:
                found = _checked(found, after._input_metadata[place], after)
                others = gradients[after]
                others[place] = others[place] + found if place in others else found
            pending[after] -= 1
            if not pending[after]:
                ready.append(after)


def _uses(root: Any) -> dict[Any, int]:
    """Count, for every node below `root`, how many other nodes pass it a gradient."""
    uses, seen, open_nodes = defaultdict(int), {root}, [root]
    while open_nodes:
        for after, _ in open_nodes.pop().next_functions:
            if after is None:
                continue
            uses[after] += 1
            if after not in seen:
                seen.add(after)
                open_nodes.append(after)
    return uses


def _apply(node: Any, given: dict[int, Tensor], retain: bool) -> tuple[Tensor | None, ...]:
    """Compute the gradients of a node's inputs from those of its outputs, and free its saved tensors."""
    if not given:
        return (None,) * len(node.next_functions)
    _Saved.used.clear()
    outputs = [given.get(place) for place in range(len(node._input_metadata))]
    found = node.apply(*outputs) if isinstance(node, torch.autograd.function.BackwardCFunction) else node(*outputs)
    if not retain:
        for saved in _Saved.used:
            saved.tensor = None
    _Saved.used.clear()
    return found if isinstance(found, tuple) else (found,)


def _checked(gradient: Tensor, expected: Any, node: Any) -> Tensor:
    shape = tuple(expected.shape)
    if tuple(gradient.shape) != shape:
        gradient = gradient.sum_to_size(shape)
    if gradient.device != expected.device:
        raise RuntimeError(f"{node} expects a gradient on {expected.device}, got one on {gradient.device}")
    return gradient.to(expected.dtype)


def _accumulate(parameter: Tensor, gradient: Tensor | None) -> None:
    """Add up gradients as PyTorch does: the gradient of a dense parameter takes the parameter's layout."""
    if gradient is None:
        return
    if parameter.grad is not None:
        parameter.grad.add_(gradient)
    elif gradient.stride() == parameter.stride():
        parameter.grad = gradient
    else:
        parameter.grad = torch.empty_like(parameter).copy_(gradient)
