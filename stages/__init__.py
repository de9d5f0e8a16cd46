"""A stage that DVC started ends with it: one that outlived a killed dvc would go on writing beside the next repro.

Here, because a package is imported before its modules: seconds before a stage has imported PyTorch. A stage that
somebody starts by hand may outlive its terminal.
"""

import os

from pipeline.cli import end_with_parent

if "DVC_STAGE" in os.environ:  # DVC sets it for all commands that it runs
    end_with_parent()
