"""A stage that DVC started ends with it: one that outlived a killed dvc would go on writing beside the next repro.

Here, because a package is imported before its modules: seconds before a stage has imported PyTorch. A stage that
somebody starts by hand may outlive its terminal. Linux only.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>

if sys.platform == "linux" and "DVC_STAGE" in os.environ:  # DVC sets it for all commands that it runs
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
