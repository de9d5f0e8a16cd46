"""Which licenses are allowed, and where. The one place to change it."""

import re

PERMISSIVE = frozenset(
    {
        "0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0",
        "CNRI-Python", "ISC", "MIT", "MIT-0", "MIT-CMU", "PSF-2.0", "ZPL-2.1", "Zlib",
        "LicenseRef-BSD",  # the package does not say which of them
        "LicenseRef-Public-Domain",
    }
)  # fmt: skip
"""Of what receivers of a bundle install: nothing in it asks more than to be named."""

OF_THE_ENVIRONMENT = PERMISSIVE | {
    # The project runs these and gives none of them away, changed or not.
    "EPL-1.0", "EPL-2.0", "LGPL-2.1", "LGPL-2.1-or-later", "MPL-2.0",
    "LicenseRef-GPL-2.0-linking-exception",  # libgit2: linked with, it asks nothing of what links it
    "LicenseRef-NVIDIA-Proprietary",  # CUDA and TensorRT: free to use on NVIDIA's hardware, not to be handed on
}  # fmt: skip
"""Of what the project itself runs with."""


def is_allowed(expression: str, allowed: frozenset[str]) -> bool:
    """Whether some choice that an SPDX expression leaves (OR) asks for allowed licenses only (AND)."""
    while inner := re.search(r"\(([^()]*)\)", expression):
        verdict = "allowed" if is_allowed(inner[1], allowed) else "refused"
        expression = expression.replace(inner[0], verdict)
    terms = [[term.strip() for term in choice.split(" AND ")] for choice in expression.split(" OR ")]
    return any(all(term == "allowed" or term in allowed for term in choice) for choice in terms)
