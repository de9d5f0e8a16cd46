"""A real S3 server on this machine, which may be killed and comes back on the same port with what it had."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import boto3

from tests.ports import free_port

BUCKET = "releases"
KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}


def own_settings(folder: Path) -> dict[str, str]:
    """An environment in which neither the settings of who runs the tests nor what they write is touched."""
    return {
        **KEYS,
        "AWS_CONFIG_FILE": str(folder / "aws"),
        "AWS_SHARED_CREDENTIALS_FILE": str(folder / "credentials"),
        "DVC_GLOBAL_CONFIG_DIR": str(folder / "dvc"),
        "DVC_SYSTEM_CONFIG_DIR": str(folder / "dvc"),
        "DVC_SITE_CACHE_DIR": str(folder / "site"),
        "DVC_NO_ANALYTICS": "true",
        "GIT_CONFIG_GLOBAL": str(folder / "gitconfig"),
        "GIT_CONFIG_NOSYSTEM": "1",
    }


class Server:
    """Started with the object; `stop` ends it."""

    def __init__(self, log: Path):
        self.log = log
        self.port = free_port()
        self.client: Any = boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{self.port}",
            region_name=KEYS["AWS_DEFAULT_REGION"],
            aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
        )
        self.start({})

    def start(self, objects: dict[str, bytes]) -> None:
        """Begin, or begin again, with these objects in the bucket: the server itself keeps all in memory."""
        with self.log.open("a") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)],
                env=dict(os.environ), stdout=out, stderr=out,
            )  # fmt: skip
        self._wait()
        self.client.create_bucket(Bucket=BUCKET)
        for key, body in objects.items():
            self.client.put_object(Bucket=BUCKET, Key=key, Body=body)

    def objects(self) -> dict[str, bytes]:
        """All that lies in the bucket, by key."""
        listed = self.client.list_objects_v2(Bucket=BUCKET).get("Contents", [])
        return {e["Key"]: self.client.get_object(Bucket=BUCKET, Key=e["Key"])["Body"].read() for e in listed}

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)

    def _wait(self) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()
            try:
                socket.create_connection(("127.0.0.1", self.port), 0.2).close()
                return
            except OSError:
                time.sleep(0.1)
        raise TimeoutError(self.log.read_text())
