"""Look at samples and predictions, and take what people say about them back: python -m pipeline.inspection open

A tool, not a stage; it runs in the folder of a profile.

reads   artifacts/inspection/samples.jsonl, data/prepared/classes.json, review.csv and the pictures they name
writes  scratch/inspect (pictures, database), and with `apply` review.csv
"""

import argparse
import os
import signal
import socket
from pathlib import Path
from types import ModuleType

from pipeline.door import run_command
from pipeline.inspection.database import database, fiftyone_environment
from pipeline.inspection.material import Places, read_material
from pipeline.inspection.records import InspectionError

PLACES = Places(
    samples=Path("artifacts/inspection/samples.jsonl"),
    classes=Path("data/prepared/classes.json"),
    review=Path("review.csv"),
    scratch=Path("scratch/inspect"),
)


def open_app(address: str, port: int) -> None:
    # All end the App as Ctrl-C does; also SIGINT itself, which a shell tells what runs in the background to ignore.
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.default_int_handler)
    require_free(address, port)
    material = read_material(PLACES)
    with database(PLACES.scratch, share=False) as uri:
        app = import_app(uri)
        with app.client():
            app.serve(app.refresh(material), address, port)


def apply_tags() -> None:
    with database(PLACES.scratch, share=True) as uri:
        app = import_app(uri)
        with app.client():
            app.apply_tags(PLACES.review)


def require_free(address: str, port: int) -> None:
    """FiftyOne would join any other App on the port, and show its dataset.

    Raises:
        InspectionError: the port is taken, or the address is none of this machine's.
    """
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, port))
    except (OSError, OverflowError) as error:
        raise InspectionError(
            f"the App cannot be served on {address}:{port} ({error}); choose another port: make inspect PORT=5152"
        ) from error


def import_app(uri: str) -> ModuleType:
    """FiftyOne connects to its database while it is imported, so both come late."""
    os.environ.update(fiftyone_environment(uri, PLACES.scratch))
    from pipeline.inspection import app

    return app


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m pipeline.inspection", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    opening = commands.add_parser("open", help="serve the FiftyOne App")
    opening.add_argument("--address", required=True, help="127.0.0.1: for this machine only; 0.0.0.0: for all")
    opening.add_argument("--port", type=int, required=True)
    commands.add_parser("apply", help="write the tags drop and fix_label of the App into review.csv")
    asked = parser.parse_args()
    if asked.command == "open":
        open_app(asked.address, asked.port)
    else:
        apply_tags()


if __name__ == "__main__":
    run_command(main)
