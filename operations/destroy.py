"""Destroy an installation, or one of its environments: `make destroy`, or `python -m operations.destroy`.

Stops the pipeline, deletes every stack that carries the installation's tags (those of environments that the
configuration no longer names, too), stage stacks before PipelineStack, sweeps what services make again or keep, and
prints what AWS itself keeps and until when. It may be run again at any time: it goes on where it has stopped.

It works in the account of the current credentials. Where environments live in other accounts, run it once for each,
with that account's credentials, the pipeline's account last.
"""

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import boto3.session

from operations.assets import Assets, delete_assets, find_assets
from operations.deletion import delete_stacks
from operations.installation import (
    MAIN,
    PROJECT,
    Installation,
    Stack,
    configured_regions,
    configured_suffix,
    find_stacks,
)
from operations.kept import kept_by_aws
from operations.log_groups import log_group_names, sweep_log_groups
from operations.lone_tasks import stop_lone_tasks
from operations.pipelines import stop_pipelines, wait_until_settled
from operations.task_definitions import families, sweep_task_definitions
from operations.validation_records import find_validation_records, sweep_validation_records

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How long to wait."""

    poll_seconds: float = 5.0
    """Between two looks at a stack."""
    settle_seconds: float = 60.0
    """For which swept log groups have to stay gone."""


class DestroyError(Exception):
    """Something is left; the message says what and why."""


def destroy(
    session: boto3.session.Session,
    installation: Installation,
    *,
    regions: Sequence[str],
    toolkit: str,
    pace: Pace,
    say: Say,
    environment: str | None = None,
) -> None:
    """Destroy an installation in these regions, or only one of its environments (`dev`).

    With an environment the pipeline and the assets stay: the next execution makes the environment again.

    Raises:
        DestroyError: naming every stack that could not be deleted, and what stands in the way.
    """
    stacks = find_condemned(session, installation, regions, environment)
    if environment is None:
        stop_pipelines(session, stacks, say=say)
    wait_until_settled(session, stacks, say=say, poll_seconds=pace.poll_seconds)
    stacks = find_condemned(session, installation, regions, environment)  # a deployment may have made another one
    records = find_validation_records(session, stacks)
    assets: dict[str, Assets | None] = {}
    if environment is None:
        assets = {region: find_assets(session, region, installation, stacks, toolkit=toolkit) for region in regions}

    stop_lone_tasks(session, stacks, say=say)
    problems = delete_stacks(session, stacks, say=say, poll_seconds=pace.poll_seconds)
    if problems:
        raise DestroyError("\n".join(problems))

    sweep_validation_records(session, regions, records, say=say)
    for region in regions:
        _sweep_region(
            session, region, [stack for stack in stacks if stack.region == region], assets.get(region), pace, say
        )
    left = find_condemned(session, installation, regions, environment)
    if left:
        raise DestroyError(f"made again meanwhile: {', '.join(stack.name for stack in left)}; run this once more")
    say("everything is deleted; AWS keeps:")
    for line in kept_by_aws(session, stacks):
        say(f"  {line}")


def find_condemned(
    session: boto3.session.Session, installation: Installation, regions: Sequence[str], environment: str | None
) -> list[Stack]:
    """Return the stacks that a destroy deletes: all of the installation, or those of one environment."""
    stacks = find_stacks(session, installation, regions)
    if environment is None:
        return stacks
    return [stack for stack in stacks if stack.environment == installation.environment_suffix(environment)]


def _sweep_region(
    session: boto3.session.Session, region: str, stacks: Sequence[Stack], assets: Assets | None, pace: Pace, say: Say
) -> None:
    sweep_task_definitions(session, region, set[str]().union(*(families(stack) for stack in stacks)), say=say)
    if assets is not None:
        delete_assets(session, region, assets, say=say)
    groups = set[str]().union(*(log_group_names(stack) for stack in stacks))
    if groups:
        sweep_log_groups(
            session,
            region,
            groups,
            settle_seconds=pace.settle_seconds,
            poll_seconds=pace.poll_seconds,
            say=say,
        )


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m operations.destroy", description=__doc__)
    parser.add_argument(
        "--environment-suffix",
        default=configured_suffix(Path.cwd()),
        help="which installation; default: what cdk.json says, %(default)r",
    )
    parser.add_argument("--environment", help="only this environment (dev), the pipeline stays and can make it again")
    parser.add_argument("--project", default=PROJECT, help="value of the tag `project`; default: %(default)s")
    parser.add_argument("--profile", help="profile of the AWS configuration to use")
    parser.add_argument(
        "--region", action="append", help="region to look in, may be repeated; default: the configured ones"
    )
    parser.add_argument("--toolkit-stack", default="CDKToolkit", help="name of the bootstrap stack")
    parser.add_argument("--settle", type=float, default=Pace.settle_seconds, help="seconds that log groups stay gone")
    parser.add_argument("--poll", type=float, default=Pace.poll_seconds, help="seconds between two looks at a stack")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    return parser.parse_args(arguments)


def _confirm(account: str, stacks: Sequence[Stack], say: Say) -> bool:
    say(f"These stacks of account {account} and everything in them, data included, will be gone:")
    for stack in stacks:
        say(f"  {stack.region}  {stack.name}")
    if not sys.stdin.isatty():
        say("Nobody to ask: give --yes to go on without asking.")
        return False
    say("Type the account id to go on:")
    return sys.stdin.readline().strip() == account


def say_line(text: str) -> None:
    """Write a line to standard output at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status: 0 all gone, 1 something is left, 2 not confirmed, 130 interrupted."""
    options = _arguments(arguments)
    session = boto3.session.Session(profile_name=options.profile)
    installation = Installation(project=options.project, name=options.environment_suffix or MAIN)
    regions = sorted(set(options.region or configured_regions(Path.cwd()) or {session.region_name or "us-east-1"}))
    account = session.client("sts", region_name=regions[0]).get_caller_identity()["Account"]
    stacks = find_condemned(session, installation, regions, options.environment)
    what = f"environment {options.environment} of " if options.environment else ""
    say_line(
        f"{what}installation {installation.name} of {installation.project} in account {account}, "
        f"{', '.join(regions)}: {len(stacks)} stack(s)"
    )
    if stacks and not options.yes and not _confirm(account, stacks, say_line):
        return 2
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs are made to ignore it
    pace = Pace(poll_seconds=options.poll, settle_seconds=options.settle)
    try:
        destroy(
            session,
            installation,
            regions=regions,
            toolkit=options.toolkit_stack,
            pace=pace,
            say=say_line,
            environment=options.environment,
        )
    except DestroyError as error:
        sys.stderr.write(f"Not everything could be deleted; run this again once the cause is gone:\n{error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted. What AWS has begun to delete goes on; run this again to delete the rest.\n")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
