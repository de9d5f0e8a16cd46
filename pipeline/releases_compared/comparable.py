"""What two releases must have in common before a ratio of their times means anything."""

from typing import Any

from pipeline.releases_compared.reading import Release, ReleasesError

MACHINE = ("cpu", "cpu_flags", "cpu_limited_to", "governor", "turbo", "cores", "gpu")
"""What of the machine decides. Versions of runtimes do too, but a newer one may be what the release is about: they are
told and not refused."""
VERSIONS = ("python", "torch", "onnxruntime", "openvino", "tensorrt", "tensorrt_rtx")


def require_comparable(a: Release, b: Release) -> None:
    """Refuse releases that were not measured alike.

    Raises:
        ReleasesError: names every difference of the protocol (threads are a part of it), the machine, the input sizes
            and the split.
    """
    found = [
        *_differences("protocol", a.protocol, b.protocol, sorted({*a.protocol, *b.protocol})),
        *_differences("machine", a.machine, b.machine, MACHINE),
        *_differences("numerics", _judged_on(a), _judged_on(b), ("split", "images")),
        *_sizes(a, b),
    ]
    if found:
        raise ReleasesError(
            f"{a.name} and {b.name} were not measured alike: {'; '.join(found)}. Measure both with the same parameters "
            f"on the same machine (dvc repro profile)"
        )


def version_changes(a: Release, b: Release) -> list[str]:
    """For example "onnxruntime 1.30.0 -> 1.31.1"."""
    return [
        f"{name} {a.machine.get(name)} -> {b.machine.get(name)}"
        for name in VERSIONS
        if a.machine.get(name) != b.machine.get(name)
    ]


def _differences(where: str, a: dict[str, Any], b: dict[str, Any], names: tuple[str, ...] | list[str]) -> list[str]:
    return [f"{where}.{name} {a.get(name)} and {b.get(name)}" for name in names if a.get(name) != b.get(name)]


def _judged_on(release: Release) -> dict[str, Any]:
    return {"split": release.split, "images": release.images}


def _sizes(a: Release, b: Release) -> list[str]:
    """Input sizes that only one of the two was timed at."""
    of_a, of_b = ({f"{c.batch}x{c.height}x{c.width}" for c in release.timings} for release in (a, b))
    return [] if of_a == of_b else [f"input sizes {', '.join(sorted(of_a))} and {', '.join(sorted(of_b))}"]
