"""The FiftyOne App: its dataset kept in line with the files, served, and the way back from its tags.

FiftyOne reads its environment when it is imported, so this module may be imported only after
`database.fiftyone_environment` was put into it.
"""

import atexit
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import fiftyone as fo
import fiftyone.core.session.session as sessions
from fiftyone.core.odm import database as odm

from pipeline.curation.review import VERDICTS, Files, read_review, split_remarks, write_review
from pipeline.data.samples import SPLITS
from pipeline.inspection.dataset import REJECTED, WORKSPACE, Dataset, build
from pipeline.inspection.fields import networks_of
from pipeline.inspection.material import Material
from pipeline.inspection.records import InspectionError
from pipeline.inspection.verdicts import (
    Verdicts,
    counted,
    merge,
    reviewed,
    unapplied,
    verdicts_in,
    verdicts_of,
)
from pipeline.inspection.views import views_of

DATASET = "inspection"
UNFINISHED = "inspection (unfinished)"
OUR_TAGS = {*SPLITS, REJECTED, *VERDICTS}


@contextlib.contextmanager
def client() -> Iterator[None]:
    """Let go of the database at the end: FiftyOne would try to tidy it up when it is long gone, for 30 seconds."""
    try:
        yield
    finally:
        atexit.unregister(odm._delete_non_persistent_datasets_if_allowed)
        odm._disconnect()


def refresh(material: Material) -> Dataset:
    """The dataset on this material, built anew if it is on another.

    Prints what was done, and what people should know about their verdicts.
    """
    files = {s.id: Files(s.image_sha256, s.mask_sha256) for s in material.samples}
    holding, outdated, _ = split_remarks(material.remarks, files)
    dataset: Dataset = fo.load_dataset(DATASET) if fo.dataset_exists(DATASET) else None
    if dataset is None or dataset.info.get("fingerprint") != material.fingerprint:
        dataset = _rebuild(material, verdicts_of(holding), dataset)
        print(f"dataset built: {len(dataset)} samples, {len(networks_of(material.samples))} networks")
    waiting = unapplied(verdicts_in(_tags(dataset)), _base(dataset))
    if waiting:
        print(f"{len(waiting)} verdict(s) given in the App are not in review.csv: `make inspect-apply` writes them")
    if outdated:
        named = ", ".join(remark.id for remark in outdated[:3])
        print(f"review.csv: {len(outdated)} remark(s) about files that have changed since do nothing ({named})")
    return dataset


def apply_tags(review: Path) -> None:
    """Write the verdicts among the App's tags into the review file, and print what changed.

    Raises:
        InspectionError: there is no dataset, or a sample has both verdicts; nothing is written.
        ReviewError: the review file is damaged.
    """
    if not fo.dataset_exists(DATASET):
        raise InspectionError("nothing was looked at here: run `make inspect`, tag samples, then apply")
    dataset: Dataset = fo.load_dataset(DATASET)
    names, images, masks = dataset.values(["name", "image_sha256", "mask_sha256"])
    files = {name: Files(image, mask) for name, image, mask in zip(names, images, masks, strict=True)}
    verdicts = verdicts_in(_tags(dataset))
    before = read_review(review)
    after = reviewed(before, verdicts, _base(dataset), files)
    if after != sorted(before):
        write_review(review, after)
        dataset.info["fingerprint"] = ""  # or a file put back to what it was would look like no change
    _remember(dataset, verdicts)
    dataset.save()
    added, removed = set(after) - set(before), set(before) - set(after)
    for sign, remarks in (("+", added), ("-", removed)):
        for remark in sorted(remarks):
            print(f"  {sign} {remark.verdict} {remark.id}")
    idle = len(after) - len(split_remarks(after, files)[0])
    print(f"{review}: {counted(after)}" + (f"; {idle} of them say nothing about the samples of today" if idle else ""))
    print("`dvc repro` curates by them" if added or removed else "nothing has changed")


def serve(dataset: Dataset, address: str, port: int) -> None:
    """Serve the App until Ctrl-C, SIGTERM or the end of the terminal; the port has to be free."""
    try:
        with _silence() as out:
            session = fo.launch_app(dataset, remote=True, address=address, port=port, auto=False)
            try:
                print(f"FiftyOne App: http://{address}:{port} (Ctrl-C ends it)", file=out, flush=True)
                threading.Event().wait()
            finally:
                for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                    signal.signal(name, signal.SIG_IGN)  # the rest takes a second and must not be cut short
                _end(session)
    except KeyboardInterrupt:
        print()


@contextlib.contextmanager
def _silence() -> Iterator[TextIO]:
    """FiftyOne's client prints alarms of its own when the server is slow; gives the stream for what is to be read."""
    out = sys.stdout
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield out


def _end(session: fo.Session) -> None:
    """End the App at once: left alone, its server would wait seconds for the browsers that listen to it."""
    session._client.close()
    os.killpg(sessions._server_services[session.server_port].child.pid, signal.SIGKILL)
    session.close()


def _rebuild(material: Material, verdicts: Verdicts, old: Dataset | None) -> Dataset:
    """Build beside the old dataset and take its place at the end: what is cut short loses no tags."""
    tags = {} if old is None else _tags(old)
    merged = merge(verdicts_in(tags), {} if old is None else _base(old), verdicts)
    others = {name: set(given) - OUR_TAGS for name, given in tags.items()}
    given = {s.id: [*sorted(merged.get(s.id, ())), *sorted(others.get(s.id, ()))] for s in material.samples}
    dataset: Dataset = fo.Dataset(UNFINISHED, overwrite=True, persistent=True)
    build(dataset, material, given)
    dataset.info = {"fingerprint": material.fingerprint, "views": [view.name for view in views_of(material.samples)]}
    _remember(dataset, verdicts)
    dataset.save()
    if old is not None:
        _carry_over(old, dataset)
        old.delete()
    dataset.name = DATASET
    return dataset


def _carry_over(old: Dataset, dataset: Dataset) -> None:
    """Views and workspaces that people saved in the App."""
    for name in set(old.list_saved_views()) - set(old.info["views"]) - set(dataset.list_saved_views()):
        try:
            view = fo.DatasetView._build(dataset, old.load_saved_view(name)._serialize())
            dataset.save_view(name, view, description=old.get_saved_view_info(name)["description"])
        except ValueError as error:  # it is about a field that is no more
            print(f"the view {name!r} that was saved in the App is lost: {error}")
    for name in set(old.list_workspaces()) - {WORKSPACE}:
        dataset.save_workspace(name, old.load_workspace(name))


def _tags(dataset: Dataset) -> dict[str, list[str]]:
    names, tags = dataset.values(["name", "tags"])
    return dict(zip(names, tags, strict=True))


def _base(dataset: Dataset) -> Verdicts:
    return verdicts_in(dict(dataset.info["verdicts"]))


def _remember(dataset: Dataset, verdicts: Verdicts) -> None:
    """What review.csv says now; pairs, because an id may hold what MongoDB allows in no key."""
    dataset.info["verdicts"] = [[name, sorted(given)] for name, given in sorted(verdicts.items())]
