"""FiftyOne's own database service, one for each profile.

FiftyOne runs one service for each user: a second profile would write into the database of the first, wherever that
lies (tried with FiftyOne 1.22.1, FIFTYONE_DATABASE_DIR set). A name of its own keeps a profile's service apart.

`database.connect` imports this module, with FiftyOne's services disabled: otherwise the import starts the shared one.
"""

import contextlib
import hashlib
import time
from pathlib import Path
from typing import Any

import fiftyone as fo
import fiftyone.core.service as services
import psutil

from pipeline.errors import MachineError

READY_S = 120.0
STOP_S = 20.0
SMALL = (
    "--wiredTigerCacheSizeGB", "0.25",
    "--wiredTigerEngineConfigString", "log=(prealloc=false,file_max=10MB)",
    "--setParameter", "diagnosticDataCollectionEnabled=false",
)  # fmt: skip
"""11 MB for an empty database instead of 300."""


class ProfileDatabase(services.DatabaseService):
    """MongoDB on the data in one folder. Processes of one user share it, and the last one to end stops it.

    Raises:
        MachineError: MongoDB did not start.
    """

    child: Any  # the service's process

    def __init__(self, data: Path, mongod: Path):
        self.data = data.resolve()
        self.mongod = mongod
        self.service_name = f"db-{hashlib.sha256(str(self.data).encode()).hexdigest()[:16]}"
        self.data.mkdir(parents=True, exist_ok=True)
        super().__init__()
        self.uri = f"mongodb://127.0.0.1:{self._wait_for_port()}/?serverSelectionTimeoutMS=5000"
        fo.config.database_uri = self.uri

    @property
    def command(self) -> list[str]:
        files = ["--dbpath", str(self.data), "--logpath", str(self.log), "--logappend"]
        return [str(self.mongod), *files, "--bind_ip", "127.0.0.1", "--port", "0", "--nounixsocket", *SMALL]

    @property
    def log(self) -> Path:
        return self.data / "mongod.log"

    def close(self) -> None:
        """Leave the database, and wait until it has stopped if no other process uses it."""
        if self.child is not None:
            child, attached = self.child, self.attached
            self.stop()
            if not attached:
                with contextlib.suppress(psutil.TimeoutExpired):
                    child.wait(STOP_S)

    def _wait_for_port(self) -> int:
        until = time.monotonic() + READY_S
        with contextlib.suppress(psutil.NoSuchProcess):
            while time.monotonic() < until and self.child.status() != psutil.STATUS_ZOMBIE:
                for process in self.child.children():
                    for connection in process.net_connections("tcp"):
                        if connection.status == psutil.CONN_LISTEN:
                            return connection.laddr.port
                time.sleep(0.05)
        raise MachineError(
            f"MongoDB did not start on {self.data}; {self.log} says why. If another version of MongoDB wrote the "
            f"folder, delete it: it is built again, without the tags that were not applied"
        )
