"""Delete stacks whose first deployment failed: `python -m operations.unstick`.

CloudFormation leaves such a stack in ROLLBACK_COMPLETE, without resources, and refuses to deploy into it. The pipeline
can be retried once it is gone.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import boto3.session

from operations.deletion import delete_stacks
from operations.destroy import say_line
from operations.installation import MAIN, PROJECT, Installation, configured_regions, configured_suffix, find_stacks

STUCK = frozenset({"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED"})
"""States out of which a stack can only be deleted; none of them has ever served anything, or is being destroyed."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status: 0 nothing is stuck any longer, 1 something still is."""
    parser = argparse.ArgumentParser(prog="python -m operations.unstick", description=__doc__)
    parser.add_argument("--environment-suffix", default=configured_suffix(Path.cwd()), help="which installation")
    parser.add_argument("--project", default=PROJECT, help="value of the tag `project`; default: %(default)s")
    parser.add_argument("--profile", help="profile of the AWS configuration to use")
    parser.add_argument("--region", action="append", help="region to look in, may be repeated")
    parser.add_argument("--poll", type=float, default=5.0, help="seconds between two looks at a stack")
    options = parser.parse_args(arguments)
    session = boto3.session.Session(profile_name=options.profile)
    installation = Installation(project=options.project, name=options.environment_suffix or MAIN)
    regions = sorted(set(options.region or configured_regions(Path.cwd()) or {session.region_name or "us-east-1"}))
    stuck = [stack for stack in find_stacks(session, installation, regions) if stack.status in STUCK]
    if not stuck:
        say_line(f"no stack of installation {installation.name} is stuck")
        return 0
    problems = delete_stacks(session, stuck, say=say_line, poll_seconds=options.poll)
    for problem in problems:
        sys.stderr.write(f"{problem}\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
