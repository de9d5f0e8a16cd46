"""End a stage together with the DVC process that started it.

A stage that outlived a killed dvc would go on writing during the next repro. The code is here because a package is
imported before its modules, seconds before a stage has imported PyTorch. A stage that you start by hand may outlive its
terminal.
"""

import os

from pipeline.cli import end_with_parent

if "DVC_STAGE" in os.environ:  # DVC sets it for all commands that it runs
    end_with_parent()
