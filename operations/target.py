"""Which installation a command means, and what there is of it: never another one, never less than there is."""

import argparse
from collections.abc import Collection, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from boto3.session import Session

from operations.context import SUFFIX, Context, ContextError
from operations.deployed import Deployed, Place, look_elsewhere
from operations.installation import MAIN, PROJECT, Installation, Stack, read_stack
from operations.search import TOOLKIT, Sighting, UnseenError, account_of, enabled_regions, last_deletion, look

#: Exit statuses: done; something is left or could not be looked at; not confirmed, or it is not clear what is meant;
#: there is nothing, and CloudFormation does not remember that there ever was.
DONE, LEFT, UNCLEAR, NOTHING = 0, 1, 2, 3


#: So many regions are still named one by one.
_FEW = 4


class TargetError(Exception):
    """Nothing can be done, nothing was done; the message says why and what to do."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, kw_only=True)
class Target:
    """An installation, or one environment of it, in the account of the credentials."""

    installation: Installation
    account: str
    #: Where it is or may be; all others have been looked at, unless somebody has chosen.
    regions: Sequence[str]
    environment: str | None
    #: What there is; empty where it has been deleted earlier.
    stacks: Sequence[Stack]
    #: The pipeline that deploys it; None where it is not in this account.
    deployed: Deployed | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what says which installation is meant."""
    parser.add_argument(
        "-c",
        "--context",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="context as for `cdk deploy`, may be repeated",
    )
    parser.add_argument("--environment-suffix", metavar="SUFFIX", help=f"the same as -c {SUFFIX}=SUFFIX")
    parser.add_argument("--project", default=PROJECT, help="value of the tag `project`; default: %(default)s")
    parser.add_argument("--profile", help="profile of the AWS configuration to use")
    parser.add_argument(
        "--region", action="append", help="look only in this region, may be repeated; default: all enabled ones"
    )
    parser.add_argument(
        "--without-account",
        action="append",
        default=[],
        metavar="ACCOUNT",
        help="environments in this account are destroyed already, do not look there",
    )
    parser.add_argument("--toolkit-stack", default=TOOLKIT, help="name of the bootstrap stack")
    parser.add_argument("--poll", type=float, default=5.0, help="seconds between two looks at a stack")


def find_target(session: Session, options: argparse.Namespace, *, environment: str | None = None) -> Target:
    """Find what the options of `add_arguments` mean.

    Raises:
        TargetError: there is nothing, it is not clear what is meant, or something could not be looked at.
    """
    try:
        suffix = [] if options.environment_suffix is None else [f"{SUFFIX}={options.environment_suffix}"]
        context = Context.read(Path.cwd(), [*options.context, *suffix])
        account = account_of(session)
        _check_account(context, account)
        searched = set(options.region or enabled_regions(session) | context.named("region"))
        seen = look(session, options.project, searched, toolkit=options.toolkit_stack)
        installation = Installation(project=options.project, name=_choose(context, seen.stacks))
        stacks = [
            read_stack(session, one.region, one.id) for one in seen.stacks if one.installation == installation.name
        ]
        deployed = Deployed.read(session, account, stacks)
        _check_agreement(context, deployed, stacks)
        known = deployed.regions if deployed else context.named("region")
        _check_regions(known, searched)
    except ContextError as error:
        raise TargetError(str(error), status=UNCLEAR) from error
    except UnseenError as error:
        raise _unseen(error) from error
    if environment is not None:
        stacks = [stack for stack in stacks if stack.environment == installation.environment_suffix(environment)]
    if not stacks:
        _expect_deletion(session, installation, account, searched, environment, seen.stacks)
    return Target(
        installation=installation,
        account=account,
        regions=sorted(known | seen.bootstrapped | {stack.region for stack in stacks}),
        environment=environment,
        stacks=stacks,
        deployed=deployed,
    )


def check_elsewhere(session: Session, target: Target, *, without: Sequence[str]) -> None:
    """Refuse to go on while environments in other accounts are there, or may be there.

    Raises:
        TargetError: naming accounts, regions and stacks.
    """
    places: frozenset[Place] = target.deployed.places if target.deployed else frozenset()
    others = [one for one in places if one.account not in {target.account, *without}]
    try:
        found = look_elsewhere(session, target.installation, others)
    except UnseenError as error:
        hint = "Once their environments are destroyed, with their own credentials, say --without-account ACCOUNT."
        raise _unseen(error, hint) from error
    if found:
        lines = [f"  account {account}  {one.region}  {one.name}" for account, one in found]
        raise TargetError(
            "These environments live in other accounts and have to go before their pipeline. Nothing was deleted; run "
            "this with the credentials of each of these accounts first:\n" + "\n".join(lines),
            status=LEFT,
        )


def _choose(context: Context, sightings: Sequence[Sighting]) -> str:
    """Return the name of the installation that is meant.

    Raises:
        TargetError: nobody has said which, and what there is leaves a doubt.
    """
    if context.suffix is not None:
        return context.suffix or MAIN
    found = {one.installation for one in sightings if one.installation}
    if found <= {MAIN}:
        return MAIN
    choices = [f'  {name}: CONTEXT="-c {SUFFIX}={"" if name == MAIN else name}"' for name in sorted(found)]
    raise TargetError("Nobody has said which installation is meant; these are here:\n" + "\n".join(choices), status=2)


def _check_account(context: Context, account: str) -> None:
    """Refuse credentials of an account that the configuration does not know."""
    accounts = context.named("account")
    if (context.given.get("account") or context.file.get("account")) and account not in accounts:
        raise TargetError(
            f"The credentials are those of account {account}, the configuration names {', '.join(sorted(accounts))}. "
            "Use the credentials of one of these, or correct `account`.",
            status=UNCLEAR,
        )


def _check_agreement(context: Context, deployed: Deployed | None, stacks: Sequence[Stack]) -> None:
    """Refuse an installation that was not deployed as it was asked for: it may be somebody else's."""
    if deployed is not None and (differences := deployed.differences(context)):
        raise TargetError(
            "What is deployed is not what was asked for:\n  " + "\n  ".join(differences) + "\nGive what it was "
            f"deployed with, or -c {SUFFIX}=... alone.",
            status=UNCLEAR,
        )
    if stacks and deployed is None and context.given and context.suffix is None:
        raise TargetError(
            "The pipeline that could tell what this was deployed with is not here. Say which installation is meant: "
            f'CONTEXT="-c {SUFFIX}=..." (empty for the one without).',
            status=UNCLEAR,
        )


def _check_regions(known: Set[str], searched: Set[str]) -> None:
    """Refuse a choice of regions that leaves out one in which something of the installation is."""
    left_out = sorted(known - searched)
    if left_out:
        raise TargetError(
            f"Nothing was deleted, because --region leaves out where something of the installation may be: "
            f"{', '.join(left_out)}. Name it too.",
            status=LEFT,
        )


def _expect_deletion(
    session: Session,
    installation: Installation,
    account: str,
    regions: Collection[str],
    environment: str | None,
    sightings: Sequence[Sighting],
) -> None:
    """Accept that nothing is there only where CloudFormation remembers that it was deleted.

    Raises:
        TargetError: it does not.
    """
    suffix = installation.environment_suffix(environment) if environment else None
    what = f"stack with the tags project={installation.project}, environment-suffix={suffix or installation.name}"
    what += "" if suffix else " or that of one of its environments"
    if last_deletion(session, installation, regions, suffix=suffix):
        return
    where = ", ".join(sorted(regions)) if len(regions) <= _FEW else f"any of its {len(regions)} regions"
    others = sorted({one.installation for one in sightings if one.installation} - {installation.name})
    raise TargetError(
        f"Nothing to do: there is no {what} in account {account}, {where}, and none was deleted in the last 90 days. "
        "Look at the account, the profile and the suffix."
        + (f" Other installations are here: {', '.join(others)}." if others else ""),
        status=NOTHING,
    )


def _unseen(error: UnseenError, hint: str = "") -> TargetError:
    hint = hint or "Where nothing of it can be in a region, leave that out by naming all others: --region REGION."
    return TargetError(f"Nothing was deleted, because this could not be looked at:\n{error}\n{hint}", status=LEFT)
