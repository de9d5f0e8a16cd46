"""Publishing, fetching and checking versions, through git, DVC, GTO and a real S3 server."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from dvc.exceptions import NotDvcRepoError

from pipeline.errors import ArtifactError, MachineError, ParamsError
from pipeline.versions.check_store import check
from pipeline.versions.fetch import fetch
from pipeline.versions.publish import publish, push
from pipeline.versions.store import registered, stays_inside, version_name
from segdistill_runtime.verify import SIGNATURES
from tests.raising import raises
from tests.versions.project import PROFILE, Project, commit_all, public_key, run

HERE = Path(__file__).parents[2]


def publish_good(project: Project, version: str = "1.0.0", folder: str = ".") -> str:
    return publish("good", version, None, None, project.root / folder)


def fetch_good(project: Project, out: Path, **other: object) -> str:
    asked = {"text": "good@1.0.0", "repository": str(project.root), "remote": None, "public_key": None, "out": out}
    return fetch(**{**asked, **other})


def contents(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


def listed(project: Project) -> dict[str, str]:
    """Object of each file of the bundle, from DVC's own list."""
    lock = (project.root / "dvc.lock").read_text().split("release@good:", 1)[1]
    own = lock.split("path: artifacts/release/good", 1)[1].split("md5: ", 1)[1].split()[0]
    entries = json.loads(project.in_cache(own).read_text())
    return {"": own, **{entry["relpath"]: entry["md5"] for entry in entries}}


def command(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments],
        cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(HERE), **environment},
    )  # fmt: skip


def test_what_is_published_is_what_is_fetched(project: Project, tmp_path: Path) -> None:
    """By a stranger: a clone without a cache, DVC's own command, and our command line with the public key."""
    done = command("publish", "good", "1.0.0", folder=project.root)
    assert done.returncode == 0, done.stderr
    for value in ("good@v1.0.0", "6 objects", "store"):
        assert value in done.stdout
    assert SIGNATURES["not checked"] in done.stdout
    assert project.tags() == ["good@v1.0.0"]
    assert project.objects().keys() == set(listed(project).values())  # no student, no other run

    bare = tmp_path / "bare.git"
    run("git", "clone", "--quiet", "--bare", str(project.root), str(bare), folder=tmp_path)
    original = contents(project.bundle)
    project.forget_artifacts()
    key = public_key(tmp_path)
    out = tmp_path / "got"
    got = command(
        "fetch", "good@v1.0.0", "--out", "got", "--repo", str(bare), "--public-key", str(key), folder=tmp_path
    )
    assert got.returncode == 0, got.stderr
    assert SIGNATURES["valid"] in got.stdout
    assert contents(out) == original
    run("dvc", "artifacts", "get", str(bare), "good", "--rev", "v1.0.0", "--out", "other", folder=tmp_path)
    assert contents(tmp_path / "other") == original


@pytest.mark.slow
def test_what_was_uploaded_is_loaded_again_and_verified(project: Project) -> None:
    publish_good(project)
    assert project.downloads() >= 6


@pytest.mark.slow
def test_what_arrives_damaged_is_named_and_gets_no_version(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache spoils between the look at it and the push."""

    def spoiled(*arguments: Any) -> None:
        damage(project.in_cache(listed(project)["card.md"]))
        push(*arguments)

    monkeypatch.setattr("pipeline.versions.publish.push", spoiled)
    names = listed(project)
    with raises(ArtifactError, names["card.md"], "card.md", "good@v1.0.0", "MD5", "s3://", names[""]):
        publish_good(project)
    assert project.tags() == []


@pytest.mark.slow
def test_what_the_remote_has_lost_is_pushed_again_without_its_list(project: Project) -> None:
    """DVC believes that a remote with the list of a folder has all of its files."""
    publish_good(project)
    run("git", "tag", "--delete", "good@v1.0.0", folder=project.root)
    names = listed(project)
    project.s3.delete_object(Bucket="releases", Key=project.objects()[names["model.onnx"]])
    with raises(ArtifactError, names["model.onnx"], "model.onnx", "good@v1.0.0", names[""]) as refused:
        publish_good(project)
    assert "MD5" not in str(refused.value)
    project.s3.delete_object(Bucket="releases", Key=project.objects()[names[""]])
    publish_good(project)
    assert project.objects().keys() == set(listed(project).values())


@pytest.mark.slow
def test_a_folder_is_a_remote_too(project: Project, tmp_path: Path) -> None:
    store = tmp_path / "store"
    run("dvc", "remote", "add", "disk", str(store), folder=project.root)
    run("dvc", "remote", "modify", "disk", "verify", "true", folder=project.root)
    commit_all(project.root)
    assert "disk" in publish("good", "1.0.0", "disk", None, project.root)
    assert project.objects() == {}
    fetch_good(project, tmp_path / "got", remote="disk")
    assert contents(tmp_path / "got") == contents(project.bundle)
    name = listed(project)["model.onnx"]
    damage(store / "files/md5" / name[:2] / name[2:])
    with raises(ArtifactError, name, "model.onnx", "good@v1.0.0", "MD5", store):
        fetch_good(project, tmp_path / "again", remote="disk")
    assert not list(tmp_path.glob("*again*"))


@pytest.mark.slow
def test_a_profile_has_versions_of_its_own(project: Project, tmp_path: Path) -> None:
    publish_good(project)
    done = publish_good(project, folder=PROFILE)
    assert f"{PROFILE}:good@v1.0.0" in done
    assert project.tags() == ["good@v1.0.0", f"{PROFILE}=good@v1.0.0"]
    fetch_good(project, tmp_path / "root")
    fetch_good(project, tmp_path / "tiny", text=f"{PROFILE}:good@1.0.0")
    assert (tmp_path / "root/model.onnx").read_bytes()[:1] == b"\x01"
    assert (tmp_path / "tiny/model.onnx").read_bytes()[:1] == b"\x09"
    run("dvc", "artifacts", "get", str(project.root), f"{PROFILE}:good", "--rev", "v1.0.0", "-o", "x", folder=tmp_path)
    assert contents(tmp_path / "x") == contents(tmp_path / "tiny")


@pytest.mark.slow
def test_old_versions_stay(project: Project, tmp_path: Path) -> None:
    publish_good(project)
    old = contents(project.bundle)
    params = project.root / "params.yaml"
    params.write_text(params.read_text().replace("weight: 1", "weight: 5"))
    run("dvc", "repro", "--quiet", "release@good", folder=project.root)
    commit_all(project.root)
    second = publish_good(project, "v1.1.0-rc.1")
    assert "good@v1.1.0-rc.1" in second
    fetch_good(project, tmp_path / "old")
    fetch_good(project, tmp_path / "new", text="good@1.1.0-rc.1")
    assert contents(tmp_path / "old") == old
    assert contents(tmp_path / "new") == contents(project.bundle) != old


@pytest.mark.parametrize("version", ["1.0", "one", "1.0.0.0", "01.0.0", "1.0.0-", "", "v", "1.0.0!"])
def test_a_version_is_semantic(version: str) -> None:
    with raises(ParamsError, repr(f"good@{version}"), "semver.org"):
        version_name(f"good@{version}")


@pytest.mark.parametrize("run", ["ends_", "-begins", "a b", "p:with:colon", "", "dots.inside"])
def test_a_run_has_a_name_that_a_tag_can_hold(run: str) -> None:
    with raises(ParamsError, repr(f"{run}@1.0.0"), "RUN@1.0.0"):
        version_name(f"{run}@1.0.0")


def test_names_are_read_as_they_are_written() -> None:
    for text in ("good@v1.0.0", "profiles/camvid:pspnet_r18@v2.1.0-rc.1"):
        assert str(version_name(text)) == text
    assert version_name("profiles/camvid:good@1.0.0").tag == "profiles/camvid=good@v1.0.0"
    assert version_name("profiles/camvid:good@1.0.0").bundle == "profiles/camvid/artifacts/release/good"


def test_tags_of_others_are_no_versions() -> None:
    tags = ["v1.0", "good@v1.0.0", "good@v1.10.0", "good@v1.9.0", "good@v1.9.0!", "good#prod#1", "better@v3.0.0", "x/y"]
    assert [str(version) for version in registered(tags)] == ["good@v1.0.0", "good@v1.10.0", "better@v3.0.0"]


@pytest.mark.parametrize("file", ["../x", "a/../../x", "/etc/x", "", "a//b", "./a", "a\\..\\b", ".."])
def test_paths_out_of_the_bundle_are_none_of_it(file: str) -> None:
    assert not stays_inside(file)
    assert stays_inside("golden/mask.png")


@pytest.mark.slow
def test_a_version_is_given_once_and_a_commit_has_one(project: Project) -> None:
    publish_good(project)
    with raises(ParamsError, "good@v1.0.0") as refused:
        publish_good(project)
    assert "gto deprecate" not in str(refused.value)
    assert str(refused.value).count("v1.0.0") == 2  # the newest is named too
    with raises(ArtifactError, "good@v1.0.1", "refs/tags/good@v1.0.1"):
        publish_good(project, "1.0.1")
    run("gto", "deprecate", "good", "v1.0.0", folder=project.root)
    with raises(ParamsError, "good@v1.0.0", "gto deprecate"):
        publish_good(project)


def test_uncommitted_changes_are_refused(project: Project) -> None:
    refused = {
        "params.yaml": "# changed\n",
        "stages/student.py": "# changed\n",
        "new.py": "# not in git\n",
    }
    for file, line in refused.items():
        path = project.root / file
        before = path.read_bytes() if path.exists() else None
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((before or b"") + line.encode())
        with raises(ArtifactError, "git status", file):
            publish_good(project)
        if before is None:
            path.unlink()
        else:
            path.write_bytes(before)
    publish_good(project)


def test_a_stale_stage_is_refused(project: Project) -> None:
    """Also where the release stage itself is up to date, and one before it is not."""
    script = project.root / "stages/student.py"
    script.write_text(script.read_text() + "# other code\n")
    commit_all(project.root)
    with raises(ArtifactError, "student@good", "dvc repro", "release@good"):
        publish_good(project)


def test_a_bundle_changed_by_hand_is_refused(project: Project) -> None:
    (project.bundle / "card.md").write_text("better numbers")
    with raises(ArtifactError, "release@good", "dvc repro"):
        publish_good(project)


def test_a_damaged_bundle_is_refused_even_if_dvc_keeps_it(project: Project) -> None:
    bytes_before = (project.bundle / "card.md").stat().st_size
    (project.bundle / "card.md").write_text("better numbers")
    run("dvc", "commit", "--force", "release@good", folder=project.root)
    commit_all(project.root)
    with raises(ArtifactError, "good@v1.0.0", project.bundle / "card.md", f" {bytes_before} "):
        publish_good(project)
    assert project.objects() == {}


def test_a_file_that_the_manifest_does_not_list_is_refused(project: Project) -> None:
    (project.bundle / "notes.txt").write_text("hello")
    run("dvc", "commit", "--force", "release@good", folder=project.root)
    commit_all(project.root)
    with raises(ArtifactError, "artifacts/release/good", "notes.txt"):
        publish_good(project)


@pytest.mark.slow
def test_a_signature_of_another_key_is_refused(project: Project, tmp_path: Path) -> None:
    other = Ed25519PrivateKey.generate().public_key()
    key = tmp_path / "other.pub"
    key.write_bytes(other.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    with raises(ArtifactError, project.bundle / "manifest.json", key):
        publish("good", "1.0.0", None, key, project.root)
    assert SIGNATURES["valid"] in publish("good", "1.0.0", None, public_key(tmp_path), project.root)
    with raises(ArtifactError, "good@v1.0.0", "got/manifest.json", key):
        fetch_good(project, tmp_path / "got", public_key=key)
    assert not list(tmp_path.glob("*got*"))


def test_a_rejected_run_gets_no_version(project: Project) -> None:
    with raises(ArtifactError, "bad", "rejected", "0.40", "0.50"):
        publish("bad", "1.0.0", None, None, project.root)


def test_a_run_must_be_declared_and_made(project: Project) -> None:
    with raises(ParamsError, "dvc.yaml", "undeclared", "`artifacts:`"):
        publish("undeclared", "1.0.0", None, None, project.root)
    with raises(ArtifactError, "artifacts/release/elsewhere"):
        publish("elsewhere", "1.0.0", None, None, project.root)


def test_a_remote_must_be_configured_committed_and_verifying(project: Project) -> None:
    config = project.root / ".dvc/config"
    whole = config.read_text()

    config.write_text(whole.replace("verify = true", "verify = false"))
    commit_all(project.root)
    with raises(ParamsError, "dvc remote", "modify store", "verify true"):
        publish_good(project)

    config.write_text("")
    commit_all(project.root)
    with raises(ParamsError, ".dvc/config", "remote add"):
        publish_good(project)
    with raises(ParamsError, "elsewhere", ".dvc/config", "remote add"):
        publish("good", "1.0.0", "elsewhere", None, project.root)

    (project.root / ".dvc/config.local").write_text(whole)
    with raises(ParamsError, "store", ".dvc/config", "remote add"):
        publish_good(project)
    assert project.tags() == []


@pytest.mark.parametrize(
    ("line", "option"),
    [
        ("secret_access_key = nobody-may-see-this", "secret_access_key"),
        ("endpointurl = http://key:nobody-may-see-this@127.0.0.1:9", "endpointurl"),
    ],
)
def test_keys_in_a_committed_file_are_refused_and_not_told(project: Project, line: str, option: str) -> None:
    config = project.root / ".dvc/config"
    kept = [entry for entry in config.read_text().splitlines() if not entry.strip().startswith(option)]
    config.write_text("\n".join([*kept, f"    {line}", ""]))
    commit_all(project.root)
    done = command("publish", "good", "1.0.0", folder=project.root)
    assert done.returncode == 1
    for value in ("ParamsError: ", "store", option, "`dvc remote modify --local`"):
        assert value in done.stderr
    assert "nobody-may-see-this" not in done.stdout + done.stderr
    assert project.tags() == []


def test_a_password_in_an_address_is_not_told(project: Project, tmp_path: Path) -> None:
    for repository in (
        "https://me:nobody-may-see-this@127.0.0.1:9/x.git",
        f"file://me:nobody-may-see-this@{project.root}",
    ):
        with pytest.raises((ArtifactError, ParamsError)) as refused:
            fetch_good(project, tmp_path / "got", repository=repository)
        assert "nobody-may-see-this" not in str(refused.value)


@pytest.mark.slow
def test_a_damaged_object_in_the_cache_is_named_and_not_pushed(project: Project) -> None:
    """DVC itself pushes it and calls it up to date."""
    name = listed(project)["model.onnx"]
    damage(project.in_cache(name))
    with raises(ArtifactError, name, "model.onnx", "good@v1.0.0", "MD5", "dvc commit"):
        publish_good(project)
    assert project.objects() == {}
    assert project.tags() == []
    project.in_cache(name).unlink()
    run("dvc", "commit", "--force", "release@good", folder=project.root)  # as the message says
    publish_good(project)


@pytest.mark.slow
def test_a_damaged_object_that_the_remote_has_already_stops_the_version(project: Project) -> None:
    publish_good(project)
    run("git", "tag", "--delete", "good@v1.0.0", folder=project.root)
    name = listed(project)["golden/mask.png"]
    project.overwrite(name, b"good mash")
    with raises(ArtifactError, name, "golden/mask.png", "good@v1.0.0", "MD5", "s3://"):
        publish_good(project)
    assert project.tags() == []


@pytest.mark.slow
def test_a_damaged_object_in_the_remote_is_named_on_the_way_back(project: Project, tmp_path: Path) -> None:
    publish_good(project)
    names = listed(project)
    project.overwrite(names["model.onnx"], b"other bytes")
    project.s3.delete_object(Bucket="releases", Key=project.objects()[names["card.md"]])
    got = command("fetch", "good@1.0.0", "--out", str(tmp_path / "got"), folder=project.root)
    assert got.returncode == 1
    assert "Traceback" not in got.stderr
    for file in ("model.onnx", "card.md"):
        (line,) = [line for line in got.stderr.splitlines() if names[file] in line]
        assert file in line
        assert "good@v1.0.0" in line
        assert ("MD5" in line) == (file == "model.onnx")  # of a missing one there is none
    assert not list(tmp_path.glob("*got*"))


@pytest.mark.slow
def test_a_damaged_list_is_not_believed(project: Project, tmp_path: Path) -> None:
    publish_good(project)
    own = listed(project)[""]
    project.overwrite(own, json.dumps([{"md5": "0" * 32, "relpath": "../../outside"}]).encode())
    with raises(ArtifactError, own, "good@v1.0.0", "MD5"):
        fetch_good(project, tmp_path / "got")
    assert not list(tmp_path.glob("*got*"))


@pytest.mark.slow
def test_an_unreachable_remote_is_one_message(project: Project, tmp_path: Path) -> None:
    publish_good(project)
    commit_all_with(project, "endpointurl = http://127.0.0.1:9")  # nothing listens at the discard port
    for arguments in (("publish", "good", "2.0.0"), ("fetch", "good@1.0.0", "--out", str(tmp_path / "got"))):
        done = command(*arguments, folder=project.root, AWS_MAX_ATTEMPTS="1")  # the client tries five times
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert f"MachineError: s3://releases/{project.prefix}" in done.stderr
    assert project.tags() == ["good@v1.0.0"]
    assert not list(tmp_path.glob("*got*"))


@pytest.mark.slow
def test_a_missing_bucket_is_told(project: Project) -> None:
    config = project.root / ".dvc/config"
    config.write_text(config.read_text().replace("s3://releases/", "s3://no-such-bucket/"))
    commit_all(project.root)
    with raises(MachineError, "s3://no-such-bucket/", ".dvc/config"):
        publish_good(project)
    assert project.tags() == []


@pytest.mark.slow
def test_a_tag_that_cannot_be_made_is_told(project: Project) -> None:
    """Git keeps tags as files: a folder of the same name is in the way."""
    run("git", "tag", "good@v1.0.0/in-the-way", folder=project.root)
    with raises(ArtifactError, "good@v1.0.0", "refs/tags/good@v1.0.0"):
        publish_good(project)
    assert "good@v1.0.0" not in project.tags()


def test_what_is_not_there_is_not_fetched(project: Project, tmp_path: Path) -> None:
    publish_good(project)
    with raises(ParamsError, "good@v2.0.0", "git fetch", "v1.0.0"):
        fetch_good(project, tmp_path / "got", text="good@2.0.0")
    with raises(ParamsError, "bad@v1.0.0", "git fetch") as refused:
        fetch_good(project, tmp_path / "got", text="bad@1.0.0")
    assert str(refused.value).count("v1.0.0") == 1  # it has no other
    with raises(ArtifactError, "git ls-remote", tmp_path / "nowhere"):
        fetch_good(project, tmp_path / "got", repository=str(tmp_path / "nowhere"))
    for text in ("good", "@1.0.0", "good@", "good@one"):
        with raises(ParamsError, repr(text), "RUN@1.0.0"):
            fetch_good(project, tmp_path / "got", text=text)
    (tmp_path / "got").mkdir()
    with raises(ParamsError, tmp_path / "got", "--out"):
        fetch_good(project, tmp_path / "got")
    (tmp_path / "file").write_text("")
    with raises(ParamsError, tmp_path / "file/got", "--out"):
        fetch_good(project, tmp_path / "file" / "got")


def test_a_repository_without_dvc_is_told(project: Project, tmp_path: Path) -> None:
    run("git", "rm", "-r", "--quiet", ".dvc", folder=project.root)
    run("git", "commit", "--quiet", "--message", "No DVC", folder=project.root)
    run("git", "tag", "good@v1.0.0", folder=project.root)
    clone = tmp_path / "bare.git"
    run("git", "clone", "--quiet", "--bare", str(project.root), str(clone), folder=tmp_path)
    with raises(ArtifactError, clone) as refused:
        fetch_good(project, tmp_path / "got", repository=str(clone))
    assert type(refused.value.__cause__) is NotDvcRepoError
    assert not list(tmp_path.glob("*got*"))


@pytest.mark.slow
def test_check_finds_and_names_every_damage(project: Project) -> None:
    publish_good(project)
    names = listed(project)
    (_, _, in_cache), (_, objects, in_remote) = check(str(project.root / PROFILE), remote="")
    assert (in_cache, in_remote, objects) == ([], [], 6)

    damage(project.in_cache(names["card.md"]))
    project.overwrite(names["model.onnx"], b"")
    project.s3.delete_object(Bucket="releases", Key=project.objects()[names["golden/mask.png"]])
    done = command("check-store", "--remote", folder=project.root)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    for name, missing in (("card.md", False), ("model.onnx", False), ("golden/mask.png", True)):
        (line,) = [line for line in done.stderr.splitlines() if names[name] in line]
        for value in (name, "good@v1.0.0", "artifacts/release/good", "release@good"):
            assert value in line
        assert ("MD5" in line) != missing


def test_check_names_what_belongs_to_nothing(project: Project) -> None:
    stray = project.in_cache("ab" * 16)
    stray.parent.mkdir(parents=True, exist_ok=True)
    stray.write_bytes(b"left over")
    ((_, _, (found,)),) = check(str(project.root), remote=None)
    assert "ab" * 16 in found
    assert "MD5" in found
    assert "good@" not in found
    assert "release@" not in found


def commit_all_with(project: Project, endpoint: str) -> None:
    config = project.root / ".dvc/config"
    lines = [endpoint if "endpointurl" in line else line for line in config.read_text().splitlines()]
    config.write_text("\n".join(lines) + "\n")
    commit_all(project.root)


def damage(path: Path) -> None:
    """Change one bit, as a disk would: the file stays read-only, which is all that DVC looks at."""
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    path.chmod(0o444)
