"""Delete stacks whose first deployment failed: `make unstick`, or `python -m operations.unstick`.

CloudFormation leaves such a stack in ROLLBACK_COMPLETE, without resources, and refuses to deploy to it. Once it is
deleted the release can be retried, and this command prints how. It finds the installation as `make destroy` does, with
the same exit statuses: 0 no stack is stuck any more; 1 one is, or could not be inspected; 2 it is not clear which
installation is meant; 3 there is none.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence

import boto3.session
from botocore.exceptions import BotoCoreError, ClientError

from operations.deletion import delete_stacks
from operations.destroy import print_line
from operations.installation import PIPELINE_TYPE, Stack
from operations.target import DONE, INCOMPLETE, Target, TargetError, add_arguments, find_target

#: States in which a stack can only be deleted; a stack in one of them has never served, or is being destroyed.
STUCK = frozenset({"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED"})
#: Retrying failed actions only would execute a change set that was deleted with the stack or by the failure: the action
#: that creates it, Prepare, has succeeded (https://github.com/aws/aws-cdk/issues/11995).
RETRY_MODE = "ALL_ACTIONS"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
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
            print_line(f"no stack of installation {target.installation.name} is stuck")
            return DONE
        problems = delete_stacks(session, stuck, report=print_line, poll_seconds=options.poll)
        for problem in problems:
            sys.stderr.write(f"{problem}\n")
        if problems:
            return INCOMPLETE
        for line in next_steps(session, target, stuck):
            print_line(line)
    except TargetError as error:
        sys.stderr.write(f"{error}\n")
        return error.status
    except (ClientError, BotoCoreError) as error:
        sys.stderr.write(f"An AWS request failed. Fix the cause and run this again:\n{error}\n")
        return INCOMPLETE
    return DONE


def next_steps(session: boto3.session.Session, target: Target, deleted: Sequence[Stack]) -> Iterator[str]:
    """Yield how to retry the deployment that left these stacks, with commands that can be copied."""
    pipelines = [
        (stack.region, name) for stack in target.stacks if stack not in deleted for name in stack.ids(PIPELINE_TYPE)
    ]
    if not pipelines:
        yield "The pipeline is not in this account, or was never deployed. Retry all actions of its failed stage there,"
        yield "or deploy it with `make deploy`."
        return
    for region, pipeline in pipelines:
        failed = list(_failed_stages(session, region, pipeline))
        if failed:
            yield "Fix the cause, then retry all actions of the stage:"
        for stage, execution in failed:
            yield (
                f"  aws codepipeline retry-stage-execution --region {region} --pipeline-name {pipeline} "
                f"--stage-name {stage} --pipeline-execution-id {execution} --retry-mode {RETRY_MODE}"
            )
        yield "Or release again:" if failed else "Fix the cause, then release again:"
        yield f"  aws codepipeline start-pipeline-execution --region {region} --name {pipeline}"


def _failed_stages(session: boto3.session.Session, region: str, pipeline: str) -> Iterator[tuple[str, str]]:
    """Yield name and execution id of every failed stage."""
    state = session.client("codepipeline", region_name=region).get_pipeline_state(name=pipeline)
    for stage in state["stageStates"]:
        latest = stage.get("latestExecution")
        if latest and latest["status"] == "Failed":
            yield stage["stageName"], latest["pipelineExecutionId"]


if __name__ == "__main__":
    sys.exit(main())
