"""Destroy an installation, or one of its environments: `make destroy`, or `python -m operations.destroy`.

Stops the pipeline, deletes every stack that carries the installation's tags (those of environments that the
configuration no longer names, too), stage stacks before PipelineStack, sweeps what services make again or keep, and
prints what AWS itself keeps and until when. It may be run again at any time: it goes on where it has stopped.

It works in the account of the current credentials, in every region that the account has enabled. Where environments
live in other accounts, run it once for each, with that account's credentials, the pipeline's account last; there it
looks into the others through the bootstrap's lookup roles, and deletes nothing while something is left in them.

Exit status: 0 all gone, now or by an earlier run; 1 something is left or could not be looked at; 2 not confirmed, or it
is not clear which installation is meant; 3 there is nothing, and CloudFormation remembers no deletion; 130 interrupted.
"""

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import boto3.session
from botocore.exceptions import BotoCoreError, ClientError

from operations.assets import Assets, delete_assets, find_assets
from operations.deletion import delete_stacks
from operations.installation import Installation, Stack, read_stack
from operations.kept import kept_by_aws
from operations.log_groups import log_group_names, sweep_log_groups
from operations.lone_tasks import stop_lone_tasks
from operations.pipelines import stop_pipelines, wait_until_settled
from operations.search import UnseenError, look
from operations.target import DONE, LEFT, UNCLEAR, Target, TargetError, add_arguments, check_elsewhere, find_target
from operations.task_definitions import families, sweep_task_definitions
from operations.validation_records import find_validation_records, sweep_validation_records

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How long to wait."""

    #: Between two looks at a stack.
    poll_seconds: float = 5.0
    #: For which swept log groups have to stay gone.
    settle_seconds: float = 60.0


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
    say("everything is deleted; AWS keeps:" if stacks else "nothing is left; AWS keeps:")
    for line in kept_by_aws(session, stacks):
        say(f"  {line}")


def find_condemned(
    session: boto3.session.Session, installation: Installation, regions: Sequence[str], environment: str | None
) -> list[Stack]:
    """Return the stacks that a destroy deletes: all of the installation, or those of one environment.

    Raises:
        UnseenError: naming each region that could not be looked at.
    """
    seen = look(session, installation.project, regions).stacks
    stacks = [read_stack(session, one.region, one.id) for one in seen if one.installation == installation.name]
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
    parser = argparse.ArgumentParser(
        prog="python -m operations.destroy", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    parser.add_argument("--environment", help="only this environment (dev), the pipeline stays and can make it again")
    parser.add_argument("--settle", type=float, default=Pace.settle_seconds, help="seconds that log groups stay gone")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    return parser.parse_args(arguments)


def _confirm(account: str, say: Say) -> bool:
    if not sys.stdin.isatty():
        say("Nobody to ask: give --yes to go on without asking.")
        return False
    say("Type the account id to go on:")
    return sys.stdin.readline().strip() == account


def _announce(target: Target, say: Say) -> None:
    what = f"environment {target.environment} of " if target.environment else ""
    what += f"installation {target.installation.name} of {target.installation.project} in account {target.account}"
    if not target.stacks:
        say(f"{what}: its stacks were deleted earlier")
        return
    say(f"{what}: {len(target.stacks)} stack(s), which will be gone with everything in them, data included:")
    for stack in target.stacks:
        say(f"  {stack.region}  {stack.name}")


def say_line(text: str) -> None:
    """Write a line to standard output at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status, as the module's description says."""
    options = _arguments(arguments)
    session = boto3.session.Session(profile_name=options.profile)
    try:
        target = find_target(session, options, environment=options.environment)
        if options.environment is None:
            check_elsewhere(session, target, without=options.without_account)
        _announce(target, say_line)
        if target.stacks and not options.yes and not _confirm(target.account, say_line):
            return UNCLEAR
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs are made to ignore it
        destroy(
            session,
            target.installation,
            regions=target.regions,
            toolkit=options.toolkit_stack,
            pace=Pace(poll_seconds=options.poll, settle_seconds=options.settle),
            say=say_line,
            environment=options.environment,
        )
    except TargetError as error:
        sys.stderr.write(f"{error}\n")
        return error.status
    except (DestroyError, UnseenError) as error:
        sys.stderr.write(f"Not everything could be deleted; run this again once the cause is gone:\n{error}\n")
        return LEFT
    except (ClientError, BotoCoreError) as error:
        sys.stderr.write(f"AWS refused, so something may be left; run this again once the cause is gone:\n{error}\n")
        return LEFT
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted. What AWS has begun to delete goes on; run this again to delete the rest.\n")
        return 130
    if target.stacks and target.deployed is None and options.environment is None:
        say_line("No pipeline was here. Where it is in another account, destroy it too: it would deploy here again.")
    return DONE


if __name__ == "__main__":
    sys.exit(main())
