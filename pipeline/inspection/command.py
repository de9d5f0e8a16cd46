"""Show samples and predictions in the FiftyOne App, and write the App's tags into review.csv.

Runs in the folder of a profile.

reads   artifacts/inspection/samples.jsonl, data/prepared/classes.json, review.csv and the pictures they name
writes  scratch/inspect (pictures, database), and with `apply` review.csv
"""

import argparse
import signal
import socket
from pathlib import Path

from pipeline.errors import MachineError
from pipeline.inspection.database import connect, explain_lost_database
from pipeline.inspection.inputs import load_inputs

REVIEW = Path("review.csv")
SCRATCH = Path("scratch/inspect")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True)
    serve = actions.add_parser("open", help="serve the FiftyOne App")
    serve.add_argument("--address", default="127.0.0.1", help="0.0.0.0 exposes the App, which has no login")
    serve.add_argument("--port", type=int, default=5151)
    actions.add_parser("apply", help="write the tags drop and fix_label of the App into review.csv")


def run(arguments: argparse.Namespace) -> None:
    with explain_lost_database():
        if arguments.action == "open":
            open_app(arguments.address, arguments.port)
        else:
            connect(SCRATCH, share=True)
            from pipeline.inspection import app  # FiftyOne must be imported after connect()

            app.apply_tags(REVIEW)


def open_app(address: str, port: int) -> None:
    # Each of these ends the App like Ctrl-C. SIGINT is set because background processes of a shell ignore it.
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.default_int_handler)
    try:  # FiftyOne would join any other App on this port, and show its dataset
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, port))
    except (OSError, OverflowError) as error:
        raise MachineError(
            f"the App cannot be served on {address}:{port} ({error}); choose another port with --port"
        ) from error
    samples, classes = Path("artifacts/inspection/samples.jsonl"), Path("data/prepared/classes.json")
    inputs = load_inputs(samples, classes, REVIEW, SCRATCH)
    database_ends = connect(SCRATCH, share=False)
    from pipeline.inspection import app  # FiftyOne must be imported after connect()

    app.serve(app.refresh(inputs), address, port, database_ends)
