"""Delete the environments' stacks in reverse order, the pipeline's stack, and what publishing and deploying left."""

import json
from pathlib import Path

import boto3

cloudformation = boto3.client("cloudformation")
ecr = boto3.client("ecr")
ecs = boto3.client("ecs")
s3 = boto3.resource("s3")

environments = [each["name"] for each in json.loads(Path("environments.json").read_text())["environments"]]
for stack in [*(f"fixture-service-{name}" for name in reversed(environments)), "PipelineStack"]:
    cloudformation.delete_stack(StackName=stack)
    cloudformation.get_waiter("stack_delete_complete").wait(StackName=stack, WaiterConfig={"Delay": 1})

inactive = ecs.list_task_definitions(status="INACTIVE")["taskDefinitionArns"]
if inactive:
    ecs.delete_task_definitions(taskDefinitions=inactive)
for bucket in s3.buckets.all():
    bucket.object_versions.delete()
for repository in ecr.describe_repositories()["repositories"]:
    images = ecr.list_images(repositoryName=repository["repositoryName"])["imageIds"]
    if images:
        ecr.batch_delete_image(repositoryName=repository["repositoryName"], imageIds=images)
