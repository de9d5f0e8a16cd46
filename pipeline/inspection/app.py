"""Update the App's dataset from the files, serve it, and write its tags into review.csv.

Import this module only after `database.connect`: FiftyOne reads its environment when it is imported.
"""

import contextlib
import os
import signal
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import fiftyone as fo

from pipeline.curation.review import VERDICTS, Files, read_review, split_remarks, write_review
from pipeline.data.samples import SPLITS
from pipeline.errors import ArtifactError
from pipeline.inspection.dataset import OF_FIFTYONE, REJECTED, WORKSPACE, Dataset, build, networks_of
from pipeline.inspection.inputs import Inputs
from pipeline.inspection.review_merge import Verdicts, merge, merged_review, unapplied, verdicts_in
from pipeline.inspection.views import views_of

DATASET = "inspection"
OUR_TAGS = {*SPLITS, REJECTED, *VERDICTS}


def refresh(inputs: Inputs) -> Dataset:
    """Return the dataset of these inputs, rebuilt if they have changed; print what the user should know."""
    files = {s.id: Files(s.image_sha256, s.mask_sha256) for s in inputs.samples}
    valid, outdated, _ = split_remarks(inputs.remarks, files)
    dataset: Dataset = fo.load_dataset(DATASET) if fo.dataset_exists(DATASET) else fo.Dataset(DATASET, persistent=True)
    if dataset.info.get("fingerprint") != inputs.fingerprint:
        _rebuild(dataset, inputs, {(remark.id, remark.verdict) for remark in valid})
        print(f"dataset built: {len(dataset)} samples, {len(networks_of(inputs.samples))} networks")
    if waiting := unapplied(verdicts_in(_tags(dataset)), _applied(dataset)):
        print(f"{len(waiting)} verdict(s) of the App are not in review.csv: run `make inspect-apply` to write them")
    if outdated:
        named = ", ".join(remark.id for remark in outdated[:3])
        print(f"review.csv: {len(outdated)} remark(s) have no effect, as the files have changed since ({named})")
    return dataset


def apply_tags(review: Path) -> None:
    """Write the verdicts among the App's tags into the review file, and print what changed."""
    if not fo.dataset_exists(DATASET):
        raise ArtifactError("this profile has no dataset in the App: run `make inspect`, tag samples, then apply")
    dataset: Dataset = fo.load_dataset(DATASET)
    names, images, masks = dataset.values(["name", "image_sha256", "mask_sha256"])
    files = {name: Files(image, mask) for name, image, mask in zip(names, images, masks, strict=True)}
    verdicts = verdicts_in(_tags(dataset))
    before = read_review(review)
    after = merged_review(before, verdicts, _applied(dataset), files)
    if after != sorted(before):
        write_review(review, after)
        dataset.info["fingerprint"] = ""  # else a file that is restored later would look unchanged
    dataset.info["applied"] = sorted(verdicts)
    dataset.save()
    added, removed = set(after) - set(before), set(before) - set(after)
    for sign, remarks in (("+", added), ("-", removed)):
        for remark in sorted(remarks):
            print(f"  {sign} {remark.verdict} {remark.id}")
    counts = ", ".join(f"{sum(remark.verdict == verdict for remark in after)} {verdict}" for verdict in VERDICTS)
    idle = len(after) - len(split_remarks(after, files)[0])
    print(f"{review}: {counts}" + (f"; {idle} of them match no current sample" if idle else ""))
    print("run `dvc repro` to use them in curation" if added or removed else "nothing has changed")


def serve(dataset: Dataset, address: str, port: int, database_ends: Callable[[], object]) -> None:
    """Serve the App until Ctrl-C, SIGTERM or the end of the terminal; raise ConnectionError if the database ends."""
    try:
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):  # FiftyOne prints false alarms
            session = fo.launch_app(dataset, remote=True, address=address, port=port, auto=False)
        try:
            print(f"FiftyOne App: http://{address}:{port} (Ctrl-C ends it)", flush=True)
            database_ends()
            raise ConnectionError("MongoDB ended while the App was open")
        finally:
            for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(name, signal.SIG_IGN)  # closing takes a second and must not be interrupted
            session.close()
    except KeyboardInterrupt:
        print()


def _rebuild(dataset: Dataset, inputs: Inputs, verdicts: Verdicts) -> None:
    """Rebuild the dataset, and keep the tags, views and workspaces that people added.

    The tags are also stored outside the samples until the end, so an interrupted rebuild loses none.
    """
    tags = dict(dataset.info.get("tags") or []) or _tags(dataset)
    old_views = dataset.info.get("views", [])
    dataset.info = {**dataset.info, "fingerprint": "", "tags": list(tags.items())}  # changes in place are not saved
    dataset.save()
    kept: dict[str, list[str]] = defaultdict(list)
    for name, verdict in sorted(merge(verdicts_in(tags), _applied(dataset), verdicts)):
        kept[name].append(verdict)
    for name, given in tags.items():
        kept[name] += sorted(set(given) - OUR_TAGS)

    dataset.clear()
    dataset.delete_sample_fields([name for name in dataset.get_field_schema() if name not in OF_FIFTYONE])
    dataset.delete_brain_runs()
    for name in set(old_views) & set(dataset.list_saved_views()):
        dataset.delete_saved_view(name)
    if WORKSPACE in dataset.list_workspaces():
        dataset.delete_workspace(WORKSPACE)
    build(dataset, inputs, kept)
    views = [view.name for view in views_of(inputs.samples)]
    for name in set(dataset.list_saved_views()) - set(views):
        try:
            dataset.load_saved_view(name)
        except ValueError as error:  # it uses a field that is gone
            dataset.delete_saved_view(name)
            print(f"removed the view {name!r} that was saved in the App, because it is no longer valid: {error}")
    dataset.info = {"fingerprint": inputs.fingerprint, "views": views, "applied": sorted(verdicts)}
    dataset.save()


def _tags(dataset: Dataset) -> dict[str, list[str]]:
    if "name" not in dataset.get_field_schema():
        return {}
    names, tags = dataset.values(["name", "tags"])
    return dict(zip(names, tags, strict=True))


def _applied(dataset: Dataset) -> Verdicts:
    """Return the verdicts in review.csv when the dataset was last updated from it."""
    # Pairs, not a dict: an id may hold characters that MongoDB does not allow in a key.
    return {(name, verdict) for name, verdict in dataset.info.get("applied", [])}
