"""Delete stacks whose first deployment failed: `make unstick`, or `python -m operations.unstick`.

CloudFormation leaves such a stack in ROLLBACK_COMPLETE, without resources, and refuses to deploy into it. Once it is
gone the release can be tried again, and this prints how. It finds the installation as `make destroy` does, with its
exit statuses: 0 nothing is stuck any longer, 1 something is, or could not be looked at, 2 it is not clear which
installation is meant, 3 there is none.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence

import boto3.session
from botocore.exceptions import BotoCoreError, ClientError

from operations.deletion import delete_stacks
from operations.destroy import say_line
from operations.installation import PIPELINE_TYPE, Stack
from operations.target import DONE, LEFT, Target, TargetError, add_arguments, find_target

#: States out of which a stack can only be deleted; none of them has ever served anything, or is being destroyed.
STUCK = frozenset({"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED"})

#: Failed actions alone would execute a change set that went with the deleted stack, or with the failure: its action,
#: Prepare, has succeeded (https://github.com/aws/aws-cdk/issues/11995).
RETRY_MODE = "ALL_ACTIONS"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status, as the module's description says."""
    parser = argparse.ArgumentParser(
        prog="python -m operations.unstick", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    options = parser.parse_args(arguments)
    session = boto3.session.Session(profile_name=options.profile)
    try:
        target = find_target(session, options)
        stuck = [stack for stack in target.stacks if stack.status in STUCK]
        if not stuck:
            say_line(f"no stack of installation {target.installation.name} is stuck")
            return DONE
        problems = delete_stacks(session, stuck, say=say_line, poll_seconds=options.poll)
        for problem in problems:
            sys.stderr.write(f"{problem}\n")
        if problems:
            return LEFT
        for line in next_steps(session, target, stuck):
            say_line(line)
    except TargetError as error:
        sys.stderr.write(f"{error}\n")
        return error.status
    except (ClientError, BotoCoreError) as error:
        sys.stderr.write(f"AWS refused; run this again once the cause is gone:\n{error}\n")
        return LEFT
    return DONE


def next_steps(session: boto3.session.Session, target: Target, freed: Sequence[Stack]) -> Iterator[str]:
    """Yield how the deployment that left these stacks is tried again, with commands that work as they stand."""
    pipelines = [
        (stack.region, name) for stack in target.stacks if stack not in freed for name in stack.ids(PIPELINE_TYPE)
    ]
    if not pipelines:
        yield "The pipeline is not in this account or was never made: retry its failed stage, all actions of it, there,"
        yield "or deploy it with `make deploy` as before."
        return
    for region, pipeline in pipelines:
        failed = list(_failed_stages(session, region, pipeline))
        if failed:
            yield "Remove the cause, then retry all actions of the stage:"
        for stage, execution in failed:
            yield (
                f"  aws codepipeline retry-stage-execution --region {region} --pipeline-name {pipeline} "
                f"--stage-name {stage} --pipeline-execution-id {execution} --retry-mode {RETRY_MODE}"
            )
        yield "or release again:" if failed else "Remove the cause, then release again:"
        yield f"  aws codepipeline start-pipeline-execution --region {region} --name {pipeline}"


def _failed_stages(session: boto3.session.Session, region: str, pipeline: str) -> Iterator[tuple[str, str]]:
    """Yield name and execution of every stage that failed."""
    state = session.client("codepipeline", region_name=region).get_pipeline_state(name=pipeline)
    for stage in state["stageStates"]:
        latest = stage.get("latestExecution")
        if latest and latest["status"] == "Failed":
            yield stage["stageName"], latest["pipelineExecutionId"]


if __name__ == "__main__":
    sys.exit(main())
