"""The installation that a command means, and what exists of it: all of it, and never another one."""

import argparse
from collections.abc import Collection, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from boto3.session import Session

from operations.context import SUFFIX, Context, ContextError
from operations.deployed_pipeline import DeployedPipeline, find_environments
from operations.installation import MAIN, PROJECT, Installation, Stack, read_stack
from operations.search import TOOLKIT, AccessError, StackSummary, account_of, enabled_regions, search, was_deleted

#: Exit statuses: done; something is left or could not be searched; not confirmed, or it is not clear which installation
#: is meant; nothing exists, and CloudFormation remembers no deletion.
DONE, INCOMPLETE, AMBIGUOUS, NOT_FOUND = 0, 1, 2, 3

#: Up to this number, regions are listed in a message.
_MAX_LISTED_REGIONS = 4


class TargetError(Exception):
    """Nothing can be done and nothing was done; the message says why and what to do.

    Attributes:
        status: Exit status of the command.
    """

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, kw_only=True)
class Target:
    """An installation, or one of its environments, in the account of the credentials."""

    installation: Installation
    account: str
    #: Where it is or may be.
    regions: Sequence[str]
    #: Name of the only environment that is meant; None for the whole installation.
    environment: str | None
    #: What exists; empty if it was deleted earlier.
    stacks: Sequence[Stack]
    #: The pipeline that deploys it; None if it is not in this account.
    pipeline: DeployedPipeline | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that identify the installation."""
    parser.add_argument(
        "-c",
        "--context",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="context as for `cdk deploy`; can be repeated",
    )
    parser.add_argument("--environment-suffix", metavar="SUFFIX", help=f"same as -c {SUFFIX}=SUFFIX")
    parser.add_argument("--project", default=PROJECT, help="value of the tag `project`; default: %(default)s")
    parser.add_argument("--profile", help="AWS profile to use")
    parser.add_argument(
        "--region", action="append", help="search this region only; can be repeated; default: all enabled regions"
    )
    parser.add_argument(
        "--without-account",
        action="append",
        default=[],
        metavar="ACCOUNT",
        help="do not search this account: its environments have been destroyed",
    )
    parser.add_argument("--toolkit-stack", default=TOOLKIT, help="name of the bootstrap stack; default: %(default)s")
    parser.add_argument(
        "--poll", type=float, default=5.0, help="seconds between two status checks; default: %(default)s"
    )


def find_target(session: Session, options: argparse.Namespace, *, environment: str | None = None) -> Target:
    """Find what the options of `add_arguments` identify.

    Raises:
        TargetError: Nothing exists, it is not clear what is meant, or something could not be searched.
    """
    try:
        suffix = [] if options.environment_suffix is None else [f"{SUFFIX}={options.environment_suffix}"]
        context = Context.read(Path.cwd(), [*options.context, *suffix])
        account = account_of(session)
        _check_account(context, account)
        searched = set(options.region or enabled_regions(session) | context.values_of("region"))
        result = search(session, options.project, searched, toolkit=options.toolkit_stack)
        installation = Installation(project=options.project, name=_choose_installation(context, result.stacks))
        stacks = [
            read_stack(session, summary.region, summary.id)
            for summary in result.stacks
            if summary.installation == installation.name
        ]
        pipeline = DeployedPipeline.read(session, account, stacks)
        _check_context(context, pipeline, stacks)
        known = pipeline.regions if pipeline else context.values_of("region")
        _check_regions(known, searched)
    except ContextError as error:
        raise TargetError(str(error), status=AMBIGUOUS) from error
    except AccessError as error:
        raise _access_error(error) from error
    if environment is not None:
        stacks = [stack for stack in stacks if stack.environment == installation.environment_suffix(environment)]
    if not stacks:
        _expect_earlier_deletion(session, installation, account, searched, environment, result.stacks)
    return Target(
        installation=installation,
        account=account,
        regions=sorted(known | result.bootstrapped | {stack.region for stack in stacks}),
        environment=environment,
        stacks=stacks,
        pipeline=pipeline,
    )


def check_other_accounts(session: Session, target: Target, *, without: Sequence[str]) -> None:
    """Stop if environments exist in other accounts, or may exist there.

    Args:
        session: Session of the pipeline's account.
        target: What is to be destroyed.
        without: Accounts to leave out.

    Raises:
        TargetError: Naming accounts, regions and stacks.
    """
    targets = target.pipeline.targets if target.pipeline else frozenset()
    others = [one for one in targets if one.account not in {target.account, *without}]
    try:
        found = find_environments(session, target.installation, others)
    except AccessError as error:
        hint = "If its environments have been destroyed with its own credentials, add --without-account ACCOUNT."
        raise _access_error(error, hint) from error
    if found:
        lines = [f"  account {account}  {stack.region}  {stack.name}" for account, stack in found]
        raise TargetError(
            "These environments are in other accounts and must be destroyed before their pipeline. Nothing was "
            "deleted. First run this with the credentials of each of these accounts:\n" + "\n".join(lines),
            status=INCOMPLETE,
        )


def _choose_installation(context: Context, summaries: Sequence[StackSummary]) -> str:
    """Return the name of the installation that is meant.

    Raises:
        TargetError: None was chosen, and there is more than one candidate.
    """
    if context.suffix is not None:
        return context.suffix or MAIN
    found = {summary.installation for summary in summaries if summary.installation}
    if found <= {MAIN}:
        return MAIN
    choices = [f'  {name}: CONTEXT="-c {SUFFIX}={"" if name == MAIN else name}"' for name in sorted(found)]
    raise TargetError("Choose an installation. These exist in the account:\n" + "\n".join(choices), status=AMBIGUOUS)


def _check_account(context: Context, account: str) -> None:
    """Reject credentials of an account that the configuration does not name."""
    accounts = context.values_of("account")
    if (context.given.get("account") or context.file.get("account")) and account not in accounts:
        raise TargetError(
            f"The credentials belong to account {account}, but the configuration names {', '.join(sorted(accounts))}. "
            "Use credentials of one of these, or correct `account`.",
            status=AMBIGUOUS,
        )


def _check_context(context: Context, pipeline: DeployedPipeline | None, stacks: Sequence[Stack]) -> None:
    """Reject a context that differs from the deployed installation's: it may be somebody else's."""
    if pipeline is not None and (differences := pipeline.differences(context)):
        raise TargetError(
            "The context differs from that of the deployed installation:\n  " + "\n  ".join(differences) + "\nUse the "
            f"context that it was deployed with, or just -c {SUFFIX}=...",
            status=AMBIGUOUS,
        )
    if stacks and pipeline is None and context.given and context.suffix is None:
        raise TargetError(
            "The pipeline is not in this account, so the context cannot be compared with the deployed one. Choose an "
            f'installation: CONTEXT="-c {SUFFIX}=..." (empty for the one without a suffix).',
            status=AMBIGUOUS,
        )


def _check_regions(known: Set[str], searched: Set[str]) -> None:
    """Reject a choice of regions that excludes one in which the installation has resources."""
    excluded = sorted(known - searched)
    if excluded:
        raise TargetError(
            "Nothing was deleted: --region excludes regions in which the installation may have resources. Add "
            f"{', '.join(excluded)}.",
            status=INCOMPLETE,
        )


def _expect_earlier_deletion(
    session: Session,
    installation: Installation,
    account: str,
    regions: Collection[str],
    environment: str | None,
    summaries: Sequence[StackSummary],
) -> None:
    """Accept that nothing exists only if CloudFormation remembers the deletion.

    Raises:
        TargetError: It does not.
    """
    suffix = installation.environment_suffix(environment) if environment else None
    if was_deleted(session, installation, regions, suffix=suffix):
        return
    what = f"stack with the tags project={installation.project}, environment-suffix={suffix or installation.name}"
    what += "" if suffix else " or that of one of its environments"
    where = f"any of {len(regions)} regions" if len(regions) > _MAX_LISTED_REGIONS else ", ".join(sorted(regions))
    others = sorted({one.installation for one in summaries if one.installation} - {installation.name})
    raise TargetError(
        f"Nothing to do: account {account} has no {what} in {where}, and none was deleted in the last 90 days. "
        "Check the account, the profile and the suffix."
        + (f" Other installations in the account: {', '.join(others)}." if others else ""),
        status=NOT_FOUND,
    )


def _access_error(error: AccessError, hint: str = "") -> TargetError:
    hint = hint or "To skip a region that cannot contain anything, name all others: --region REGION."
    return TargetError(f"Nothing was deleted, because access failed to:\n{error}\n{hint}", status=INCOMPLETE)
