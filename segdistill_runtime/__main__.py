"""Run a command on a bundle: python -m segdistill_runtime predict IMAGE --bundle BUNDLE"""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from segdistill_runtime.errors import lacks_memory
from segdistill_runtime.verify import Refused

COMMANDS = {
    "predict": "segdistill_runtime.predict",
    "self-test": "segdistill_runtime.self_test",
    "rebuild": "segdistill_runtime.rebuild",
    "verify": "segdistill_runtime.verify",
}
"""Module of each command. `main` imports only one of them, because `verify` needs no package."""


def main(argv: Sequence[str] | None = None) -> None:
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] not in COMMANDS:
        sys.exit(f"python -m segdistill_runtime COMMAND [--help]; commands: {', '.join(COMMANDS)}")
    try:
        module = import_module(COMMANDS[arguments[0]])
        parser = argparse.ArgumentParser(
            prog=arguments[0], description=module.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        module.add_arguments(parser)
        module.run(parser.parse_args(arguments[1:]))
    except ModuleNotFoundError as error:
        sys.exit(f"{error}: pip install -r requirements.txt")
    except Refused as refusal:
        sys.exit(str(refusal))
    except Exception as error:
        if lacks_memory(error):
            sys.exit("Out of memory: free some memory, or use another --runtime")
        if isinstance(error, OSError):
            sys.exit(f"{error.filename or 'a file'} cannot be read or written: {error.strerror}")
        raise


if __name__ == "__main__":
    main()
