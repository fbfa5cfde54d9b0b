"""The `post-receive` hook of the rehearsal remote: starts a pipeline run and prints its output.

Git runs it with `<old> <new> <ref>` lines on standard input and shows its output to whoever pushes. Its argument is the
socket of `make rehearse-remote`.
"""

import json
import socket
import sys


def main() -> int:
    """Request a run for every pushed branch; return 1 when one failed."""
    status = 0
    for line in sys.stdin:
        _, new, ref = line.split()
        if ref.startswith("refs/heads/") and set(new) != {"0"}:
            status |= _run(sys.argv[1], new, ref.removeprefix("refs/heads/"))
    return status


def _run(path: str, commit: str, branch: str) -> int:
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(path)
        except OSError:
            sys.stdout.write("the rehearsal is not running: start `make rehearse-remote`, then push again\n")
            return 1
        connection.sendall(json.dumps({"commit": commit, "branch": branch}).encode() + b"\n")
        last = ""
        with connection.makefile("r", encoding="utf-8") as lines:
            for last in lines:
                sys.stdout.write(last)
                sys.stdout.flush()
        return 0 if last.startswith("Succeeded") else 1


if __name__ == "__main__":
    sys.exit(main())
