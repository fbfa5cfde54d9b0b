"""Destroy an installation, or one of its environments: `make destroy`, or `python -m operations.destroy`.

Stops the pipeline, deletes every stack with the installation's tags (including those of environments that were removed
from the configuration), environments before PipelineStack, cleans up what services recreate or keep, and prints what
AWS itself retains and until when. It can be run again at any time and continues where it stopped.

It works in the account of the current credentials, in every enabled region. If environments are in other accounts, run
it once with the credentials of each account, the pipeline's account last; there it searches the others through the
bootstrap's lookup roles, and deletes nothing while something is left in them.

Exit status: 0 everything is deleted, now or by an earlier run; 1 something is left or could not be inspected; 2 not
confirmed, or it is not clear which installation is meant; 3 nothing exists, and CloudFormation remembers no deletion;
130 interrupted.
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
from operations.log_groups import delete_log_groups, log_group_names
from operations.pipelines import stop_pipelines, wait_until_settled
from operations.retained import retained_by_aws
from operations.search import AccessError, search
from operations.standalone_tasks import stop_standalone_tasks
from operations.target import (
    AMBIGUOUS,
    DONE,
    INCOMPLETE,
    Target,
    TargetError,
    add_arguments,
    check_other_accounts,
    find_target,
)
from operations.task_definitions import delete_task_definitions, families
from operations.validation_records import delete_validation_records, find_validation_records

INTERRUPTED = 130

#: Receives one line of progress.
Report = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How long to wait."""

    #: Seconds between two status checks of a stack.
    poll_seconds: float = 5.0
    #: Seconds for which deleted log groups must not reappear.
    settle_seconds: float = 60.0


class DestroyError(Exception):
    """Something is left; the message says what and why."""


def destroy(
    session: boto3.session.Session,
    installation: Installation,
    *,
    regions: Sequence[str],
    toolkit: str,
    timing: Timing,
    report: Report,
    environment: str | None = None,
) -> None:
    """Destroy an installation, or one of its environments.

    Args:
        session: Session of the account.
        installation: What to destroy.
        regions: Where to search.
        toolkit: Name of the bootstrap stack.
        timing: How long to wait.
        report: Receives progress.
        environment: Name of the only environment to destroy (`dev`). Pipeline and assets are kept then: the next
            execution recreates the environment.

    Raises:
        DestroyError: Naming every stack that could not be deleted, and why.
    """
    stacks = find_stacks(session, installation, regions, environment)
    if environment is None:
        stop_pipelines(session, stacks, report=report)
    wait_until_settled(session, stacks, report=report, poll_seconds=timing.poll_seconds)
    stacks = find_stacks(session, installation, regions, environment)  # a deployment may have created another one
    records = find_validation_records(session, stacks)
    assets: dict[str, Assets | None] = {}
    if environment is None:
        assets = {region: find_assets(session, region, installation, stacks, toolkit=toolkit) for region in regions}

    stop_standalone_tasks(session, stacks, report=report)
    problems = delete_stacks(session, stacks, report=report, poll_seconds=timing.poll_seconds)
    if problems:
        raise DestroyError("\n".join(problems))

    delete_validation_records(session, regions, records, report=report)
    for region in regions:
        own = [stack for stack in stacks if stack.region == region]
        _clean_up(session, region, own, assets.get(region), timing, report)
    left = find_stacks(session, installation, regions, environment)
    if left:
        names = ", ".join(stack.name for stack in left)
        raise DestroyError(f"recreated during the deletion: {names}; run this again")
    report("everything is deleted; AWS retains:" if stacks else "nothing is left; AWS retains:")
    for line in retained_by_aws(session, stacks):
        report(f"  {line}")


def find_stacks(
    session: boto3.session.Session, installation: Installation, regions: Sequence[str], environment: str | None
) -> list[Stack]:
    """Return the stacks to delete: all of the installation, or those of one environment.

    Raises:
        AccessError: Naming each region that could not be searched.
    """
    summaries = search(session, installation.project, regions).stacks
    stacks = [read_stack(session, one.region, one.id) for one in summaries if one.installation == installation.name]
    if environment is None:
        return stacks
    return [stack for stack in stacks if stack.environment == installation.environment_suffix(environment)]


def _clean_up(
    session: boto3.session.Session,
    region: str,
    stacks: Sequence[Stack],
    assets: Assets | None,
    timing: Timing,
    report: Report,
) -> None:
    """Delete what outlives the stacks of a region."""
    delete_task_definitions(session, region, set[str]().union(*(families(stack) for stack in stacks)), report=report)
    if assets is not None:
        delete_assets(session, region, assets, report=report)
    groups = set[str]().union(*(log_group_names(stack) for stack in stacks))
    if groups:
        delete_log_groups(
            session,
            region,
            groups,
            settle_seconds=timing.settle_seconds,
            poll_seconds=timing.poll_seconds,
            report=report,
        )


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m operations.destroy", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    parser.add_argument(
        "--environment", help="destroy this environment only (dev); the pipeline is kept and can recreate it"
    )
    parser.add_argument(
        "--settle",
        type=float,
        default=Timing.settle_seconds,
        help="seconds for which deleted log groups must not reappear; default: %(default)s",
    )
    parser.add_argument("--yes", action="store_true", help="do not ask for confirmation")
    return parser.parse_args(arguments)


def _confirm(account: str, report: Report) -> bool:
    if not sys.stdin.isatty():
        report("Cannot ask for confirmation without a terminal: use --yes to continue.")
        return False
    report("Type the account id to continue:")
    return sys.stdin.readline().strip() == account


def _announce(target: Target, report: Report) -> None:
    what = f"environment {target.environment} of " if target.environment else ""
    what += f"installation {target.installation.name} of {target.installation.project} in account {target.account}"
    if not target.stacks:
        report(f"{what}: its stacks were deleted earlier")
        return
    report(f"{what}: {len(target.stacks)} stack(s) will be deleted with everything in them, including data:")
    for stack in target.stacks:
        report(f"  {stack.region}  {stack.name}")


def print_line(text: str) -> None:
    """Print a line without buffering."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    options = _parse(arguments)
    session = boto3.session.Session(profile_name=options.profile)
    try:
        target = find_target(session, options, environment=options.environment)
        if options.environment is None:
            check_other_accounts(session, target, without=options.without_account)
        _announce(target, print_line)
        if target.stacks and not options.yes and not _confirm(target.account, print_line):
            return AMBIGUOUS
        signal.signal(signal.SIGINT, signal.default_int_handler)  # shells make background jobs ignore it
        destroy(
            session,
            target.installation,
            regions=target.regions,
            toolkit=options.toolkit_stack,
            timing=Timing(poll_seconds=options.poll, settle_seconds=options.settle),
            report=print_line,
            environment=options.environment,
        )
    except TargetError as error:
        sys.stderr.write(f"{error}\n")
        return error.status
    except (DestroyError, AccessError) as error:
        sys.stderr.write(f"Not everything could be deleted. Fix the cause and run this again:\n{error}\n")
        return INCOMPLETE
    except (ClientError, BotoCoreError) as error:
        sys.stderr.write(
            f"An AWS request failed, so something may be left. Fix the cause and run this again:\n{error}\n"
        )
        return INCOMPLETE
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted. AWS finishes the deletions in progress; run this again to delete the rest.\n")
        return INTERRUPTED
    if target.stacks and target.pipeline is None and options.environment is None:
        print_line(
            "The pipeline is not in this account. If it still exists, destroy it too: it would deploy here again."
        )
    return DONE


if __name__ == "__main__":
    sys.exit(main())
