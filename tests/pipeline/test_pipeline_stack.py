"""The synthesized pipeline: its stages, builds, permissions and notifications."""

import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_codepipeline as codepipeline

from kit.policies import WILDCARD_RESOURCES
from pipeline.approval import TEXT_LIMIT
from pipeline.jobs.changes.report import SUMMARY_CHARACTERS
from pipeline.rollback import roll_back_on_failure
from pipeline.versions import npm_version
from tests.pipeline.conftest import synthesize
from tests.pipeline.model import CONFIGURED, PRODUCTION, PROJECT, TOOLING, Synthesized, Template, resolve
from tests.stages.model import Templates
from tests.stages.names import misnamed


def test_the_stages_follow_the_configuration(synthesized: Synthesized) -> None:
    assert list(synthesized.stages) == [
        "Source",
        "Build",
        "UpdatePipeline",
        "Assets",
        "ScanImage",
        "Dev",
        "ApproveProd",
        "Prod",
    ]


def test_executions_queue_and_self_mutation_restarts(synthesized: Synthesized) -> None:
    pipeline = synthesized.pipeline
    assert pipeline["PipelineType"] == "V2"
    assert pipeline["ExecutionMode"] == "QUEUED"
    assert pipeline["RestartExecutionOnUpdate"] is True


def test_only_the_synth_step_gets_the_source_with_history(synthesized: Synthesized) -> None:
    (source,) = synthesized.stages["Source"]
    assert source["Configuration"]["OutputArtifactFormat"] == "CODEBUILD_CLONE_REF"
    assert source["Configuration"]["BranchName"] == "main"
    clone = source["OutputArtifacts"][0]["Name"]
    readers = [
        action["Name"]
        for actions in synthesized.stages.values()
        for action in actions
        if clone in [artifact["Name"] for artifact in action.get("InputArtifacts", ())]
    ]
    assert readers == ["Synth"]


def test_the_synth_step_runs_the_make_targets(synthesized: Synthesized) -> None:
    phases = synthesized.build_spec("synth")["phases"]
    assert phases["install"]["commands"] == ["make setup"]
    assert phases["pre_build"]["commands"] == ["make gates"]  # a failure in pre_build ends the build
    assert phases["build"]["commands"][0] == "make synth"


def test_the_synth_step_synthesizes_what_was_deployed(synthesized: Synthesized) -> None:
    variables = {
        one["Name"]: one["Value"] for one in synthesized.project("synth")["Environment"]["EnvironmentVariables"]
    }
    overrides = json.loads(variables["CONTEXT_OVERRIDES"])
    assert overrides["account"] == TOOLING
    assert overrides["environments.prod.account"] == PRODUCTION


def test_every_environment_is_checked_after_its_deployment(synthesized: Synthesized) -> None:
    for stage, number in (("Dev", 9), ("Prod", 9)):
        actions = synthesized.stages[stage]
        assert actions[-1]["Name"] == f"Smoke{stage}"
        assert actions[-1]["RunOrder"] == number
        (variable,) = json.loads(actions[-1]["Configuration"]["EnvironmentVariables"])
        assert variable["name"] == "BASE_URL"
        deploy = synthesized.action(stage, f"payment-service-{stage.lower()}.Deploy")
        assert variable["value"] == f"#{{{deploy['Namespace']}.ApiUrl}}"


def test_the_approval_shows_changes_and_commit(synthesized: Synthesized) -> None:
    report, approval = synthesized.stages["ApproveProd"]
    assert (report["RunOrder"], approval["RunOrder"]) == (1, 2)
    assert approval["ActionTypeId"]["Category"] == "Approval"
    text = approval["Configuration"]["CustomData"]
    source = synthesized.action("Source", "Source")
    assert f"#{{{report['Namespace']}.SUMMARY}}" in text
    assert f"#{{{source['Namespace']}.CommitId}}" in text
    assert text.endswith("cloudwatch/home?region=us-east-1#dashboards/dashboard/dashboard-dev")
    assert approval["Configuration"]["ExternalEntityLink"] == f"#{{{report['Namespace']}.REPORT_URL}}"
    assert {"SUMMARY", "REPORT_URL"} <= set(synthesized.build_spec("changes-prod")["env"]["exported-variables"])


def test_the_longest_summary_fits_into_the_approval(without_subscriber: Synthesized) -> None:
    report, approval = without_subscriber.stages["ApproveProd"]
    source = without_subscriber.action("Source", "Source")
    text = approval["Configuration"]["CustomData"]
    text = text.replace(f"#{{{report['Namespace']}.SUMMARY}}", "s" * SUMMARY_CHARACTERS)
    text = text.replace(f"#{{{source['Namespace']}.CommitId}}", "c" * 40)
    assert "#{" not in text
    assert len(text) <= TEXT_LIMIT


@pytest.fixture(scope="module")
def without_subscriber(tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    """No alarm_email, everything else as long as possible, and checked by the rule packs."""
    longest = {
        "region": "ap-southeast-2",
        "availability_zone_ids": "apse2-az1,apse2-az2,apse2-az3",
        "certificate_arn": CONFIGURED["certificate_arn"].replace("us-east-1", "ap-southeast-2"),
        "environment_suffix": "longest",
    }
    configured = {key: value for key, value in CONFIGURED.items() if key != "alarm_email"}
    return synthesize(tmp_path_factory.mktemp("without_subscriber"), {**configured, **longest}, rules=True)


def test_synthesis_warns_about_missing_subscribers(without_subscriber: Synthesized, synthesized: Synthesized) -> None:
    def warnings(made: Synthesized) -> list[str]:
        metadata = json.loads((made.folder / "manifest.json").read_text())["artifacts"]["PipelineStack"]
        if "additionalMetadataFile" in metadata:
            metadata["metadata"] = json.loads((made.folder / metadata["additionalMetadataFile"]).read_text())
        entries = [entry for each in metadata.get("metadata", {}).values() for entry in each]
        return [entry["data"] for entry in entries if entry["type"] == "aws:cdk:warning"]

    (warning,) = warnings(without_subscriber)
    assert "reach nobody: the pipeline, dev, prod. Set alarm_email" in warning
    assert warnings(synthesized) == []


def test_an_output_lists_missing_subscribers(without_subscriber: Synthesized, synthesized: Synthesized) -> None:
    missing = without_subscriber.stack.body["Outputs"]["ReachNobody"]["Value"]
    assert missing == "the pipeline, dev, prod: set alarm_email"
    assert synthesized.stack.body["Outputs"]["ReachNobody"]["Value"] == "none"


def test_the_approval_shows_missing_subscribers(without_subscriber: Synthesized, synthesized: Synthesized) -> None:
    text = "alarms of prod reach nobody: alarm_email is not set"
    assert text in without_subscriber.stages["ApproveProd"][1]["Configuration"]["CustomData"]
    assert text not in synthesized.stages["ApproveProd"][1]["Configuration"]["CustomData"]


def test_the_synth_machine_is_available_to_new_accounts(synthesized: Synthesized) -> None:
    assert synthesized.project("synth")["Environment"]["ComputeType"] == "BUILD_GENERAL1_MEDIUM"
    others = {
        project["Properties"]["Environment"]["ComputeType"]
        for project in synthesized.stack.all("AWS::CodeBuild::Project").values()
        if not project["Properties"]["Name"].startswith("project-synth-")
    }
    assert others == {"BUILD_GENERAL1_SMALL"}


def test_a_failure_rolls_back_and_a_rejection_does_not(synthesized: Synthesized) -> None:
    results = {one["Name"]: one.get("OnFailure", {}).get("Result") for one in synthesized.pipeline["Stages"]}
    assert {name for name, result in results.items() if result == "ROLLBACK"} == {"Dev", "Prod"}


def test_files_and_images_take_at_most_one_build_each(synthesized: Synthesized) -> None:
    projects = [one["Properties"]["Name"] for one in synthesized.stack.all("AWS::CodeBuild::Project").values()]
    assert sorted(projects) == [
        "project-changes-prod-main",
        "project-publish-images-main",
        "project-scan-image-main",
        "project-self-mutation-main",
        "project-smoke-dev-main",
        "project-smoke-prod-main",
        "project-synth-main",
    ]
    publish = synthesized.build_spec("publish-images")["phases"]["build"]["commands"]
    assert len(publish) == 2  # the one image, to the account of each environment


def test_every_tool_that_a_build_installs_is_pinned(synthesized: Synthesized) -> None:
    installed = [
        command
        for name in ("self-mutation", "publish-images")
        for command in synthesized.build_spec(name)["phases"]["install"]["commands"]
    ]
    assert installed == [
        f"npm install -g aws-cdk@{npm_version('aws-cdk')}",
        f"npm install -g cdk-assets@{npm_version('cdk-assets')}",
    ]
    (packages,) = [one for one in synthesized.build_spec("synth")["phases"]["build"]["commands"] if "uv pip" in one]
    assert "--require-hashes" in packages


def test_packages_and_image_layers_are_cached(synthesized: Synthesized) -> None:
    assert synthesized.project("synth")["Cache"] == {"Type": "LOCAL", "Modes": ["LOCAL_CUSTOM_CACHE"]}
    assert synthesized.build_spec("synth")["cache"]["paths"] == [".run/cache/**/*"]
    images = synthesized.project("publish-images")
    assert images["Cache"] == {"Type": "LOCAL", "Modes": ["LOCAL_DOCKER_LAYER_CACHE"]}
    assert images["Environment"]["PrivilegedMode"]


@pytest.mark.parametrize("merged", [True, False])
def test_messages_of_merged_commits_are_passed_on(synthesized: Synthesized, tmp_path: Path, merged: bool) -> None:
    """Runs the command in a repository with one commit, or with a merge."""
    (command,) = [one for one in synthesized.build_spec("synth")["phases"]["build"]["commands"] if "message" in one]
    identity = ("-c", "user.name=Tester", "-c", "user.email=tester@example.com")

    def git(*arguments: str) -> None:
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init", "--initial-branch=main")
    git("commit", "--allow-empty", "--message", "First\n\nReplaces: payment-database-prod/First")
    if merged:
        git("checkout", "-b", "feature")
        git("commit", "--allow-empty", "--message", "Second\n\nReplaces: payment-database-prod/Second")
        git("checkout", "main")
        git("merge", "--no-ff", "--message", "Merge", "feature")
    (tmp_path / "jobs.out").mkdir()
    subprocess.run(["bash", "-euc", command], cwd=tmp_path, check=True)
    message = (tmp_path / "jobs.out" / "commit-message.txt").read_text()
    assert ("Replaces: payment-database-prod/Second" in message) == merged
    assert ("Replaces: payment-database-prod/First" in message) != merged


@pytest.mark.parametrize("name", ["smoke-dev", "smoke-prod", "changes-prod", "scan-image"])
def test_steps_after_synth_install_nothing(synthesized: Synthesized, name: str) -> None:
    """The synth step passes on the packages, so that an outage of a registry cannot stop a deployment half-way."""
    commands = [one for phase in synthesized.build_spec(name)["phases"].values() for one in phase.get("commands", ())]
    assert not [one for one in commands if "install" in one or "curl" in one]
    variables = {one["Name"]: one["Value"] for one in synthesized.project(name)["Environment"]["EnvironmentVariables"]}
    assert variables["PYTHONPATH"] == "packages"


def test_the_asset_publisher_reads_what_the_library_writes(synthesized: Synthesized, tmp_path: Path) -> None:
    """Runs the pinned `cdk-assets` on a real manifest, after the build's preparation."""
    manifest = next(synthesized.folder.glob("assembly-*/*Service*.assets.json"))
    copy = tmp_path / manifest.name
    copy.write_text(manifest.read_text())
    tool = [str(PROJECT / "node_modules" / ".bin" / "cdk-assets"), "--path", str(copy), "ls"]
    for command in synthesized.build_spec("publish-images")["phases"]["pre_build"]["commands"]:
        subprocess.run(command, shell=True, cwd=tmp_path, check=True)
    listed = subprocess.run(tool, capture_output=True, text=True, check=False)
    assert listed.returncode == 0, listed.stderr
    images = json.loads(manifest.read_text())["dockerImages"]
    assert all(identifier in listed.stdout for identifier in images)


def test_builds_write_to_declared_encrypted_log_groups(synthesized: Synthesized) -> None:
    groups = synthesized.stack.all("AWS::Logs::LogGroup")
    for name, project in synthesized.stack.all("AWS::CodeBuild::Project").items():
        group = project["Properties"]["LogsConfig"]["CloudWatchLogs"]["GroupName"]["Ref"]
        assert group in groups, name
    for group in groups.values():
        assert group["Properties"]["RetentionInDays"] == 30
        assert group["Properties"]["KmsKeyId"]
        assert group["DeletionPolicy"] == "Delete"


def test_report_groups_are_declared_and_deleted_with_the_stack(synthesized: Synthesized) -> None:
    declared = {
        one["Properties"]["Name"]: one["Properties"]
        for one in synthesized.stack.all("AWS::CodeBuild::ReportGroup").values()
    }
    used = {
        report.rpartition("/")[2]
        for name in ("synth", "smoke-dev", "smoke-prod")
        for report in synthesized.build_spec(name)["reports"]
    }
    assert used == set(declared)
    assert all(one["DeleteReports"] for one in declared.values())
    assert all(len(synthesized.build_spec(name)["reports"]) <= 5 for name in ("synth", "smoke-dev"))


def test_nothing_outlives_the_pipeline_stack(synthesized: Synthesized) -> None:
    kept = {
        name: one
        for name, one in synthesized.stack.body["Resources"].items()
        if "Retain" in (one.get("DeletionPolicy", ""), one.get("UpdateReplacePolicy", ""))
    }
    assert kept == {}
    emptied = synthesized.stack.one("Custom::AutoDeleteObjects")
    assert emptied["Bucket"]["Ref"] in synthesized.stack.all("AWS::S3::Bucket")


#: Suffix of each stack of the configuration in two regions, and of the installation `longest`.
SUFFIXES = {"PipelineStack": "main", "PipelineStack-eu-west-1": "main-euw1", "PipelineStack-longest": "longest"}


def test_every_name_contains_type_and_suffix(synthesized: Synthesized, without_subscriber: Synthesized) -> None:
    stacks = {**Templates.of(synthesized.folder).by_stack, **Templates.of(without_subscriber.folder).by_stack}
    assert set(stacks) == set(SUFFIXES)
    for stack, suffix in SUFFIXES.items():
        assert misnamed(Templates(by_stack={stack: stacks[stack]}), suffix) == []


def test_another_region_has_its_own_artifact_bucket(synthesized: Synthesized) -> None:
    stores = {one["Region"]: one["ArtifactStore"] for one in synthesized.pipeline["ArtifactStores"]}
    assert set(stores) == {"us-east-1", "eu-west-1"}
    assert "pipeline-artifacts-main" in resolve(stores["eu-west-1"]["Location"])


def policies_of(synthesized: Synthesized, name: str) -> Mapping[str, Mapping[str, Any]]:
    return synthesized.stack.policy(f"policy-pipeline-{name}-main")


#: Objects in artifact buckets; keys in another region, which a condition narrows to one alias; bootstrap roles of this
#: account in a region that a later commit may add.
NARROWED = (
    r"\$\{\w*Artifacts\w*\.Arn\}/\*",
    r"arn:aws:s3:::pipeline-artifacts-main-[\w-]+/\*",
    rf"arn:aws:kms:eu-west-1:{TOOLING}:key/\*",
    rf"arn:aws:iam::{TOOLING}:role/cdk-hnb659fds-(deploy|file-publishing|lookup)-role-{TOOLING}-\*",
)


def test_wildcard_resources_are_narrowed_by_name(synthesized: Synthesized) -> None:
    for policy, statement in synthesized.stack.statements():
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        assert not [action for action in actions if "*" in action], policy
        resources = statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
        if resources == ["*"]:
            assert set(actions) <= set(WILDCARD_RESOURCES), policy
            continue
        for resource in map(resolve, resources):
            assert "*" not in resource or any(re.fullmatch(form, resource) for form in NARROWED), (policy, resource)


def test_no_generated_role_is_left(synthesized: Synthesized) -> None:
    assert synthesized.stack.all("AWS::IAM::Policy") == {}
    names = {one["Properties"].get("RoleName") for one in synthesized.stack.all("AWS::IAM::Role").values()}
    assert None not in names


def test_a_smoke_step_may_read_only_its_environments_key(synthesized: Synthesized) -> None:
    for stage, account in (("dev", TOOLING), ("prod", PRODUCTION)):
        statements = policies_of(synthesized, f"smoke-{stage}")
        own = set(statements) - {"FindArtifacts", "UseArtifacts", "UseKey", "WriteLog"}
        assert own == {"ReadSmokeKey", "WriteSmokeReport"}
        assert statements["ReadSmokeKey"]["Resource"] == f"arn:aws:iam::{account}:role/role-smoke-reader-{stage}"


def test_only_a_build_with_outputs_may_write_artifacts(synthesized: Synthesized) -> None:
    for name in ("self-mutation", "assets", "scan-image", "smoke-dev", "changes-prod"):
        statements = policies_of(synthesized, name)
        assert statements["UseArtifacts"]["Action"] == ["s3:GetObject", "s3:GetObjectVersion"], name
        assert statements["UseKey"]["Action"] == ["kms:Decrypt", "kms:DescribeKey"], name
    assert "s3:PutObject" in policies_of(synthesized, "synth")["UseArtifacts"]["Action"]


def test_images_are_scanned_before_deployment(synthesized: Synthesized) -> None:
    (action,) = synthesized.stages["ScanImage"]
    assert action["Name"] == "ScanImage"
    statements = policies_of(synthesized, "scan-image")
    repository = f"arn:aws:ecr:us-east-1:{TOOLING}:repository/cdk-hnb659fds-container-assets-{TOOLING}-us-east-1"
    assert statements["ScanImages"]["Resource"] == repository
    lookup = f"arn:aws:iam::{PRODUCTION}:role/cdk-hnb659fds-lookup-role-{PRODUCTION}-eu-west-1"
    assert statements["ReadScans"]["Resource"] == lookup


def test_only_a_stage_that_exists_can_roll_back(tmp_path: Path) -> None:
    stack = Stack(App(outdir=str(tmp_path)), "Any")
    with pytest.raises(ValueError, match="no stage Nowhere"):
        roll_back_on_failure(codepipeline.Pipeline(stack, "Pipeline"), ["Nowhere"])


def test_the_change_report_is_read_only(synthesized: Synthesized) -> None:
    statement = policies_of(synthesized, "changes-prod")["ReadDeployed"]
    assert statement["Action"] == "sts:AssumeRole"
    assert statement["Resource"] == (f"arn:aws:iam::{PRODUCTION}:role/cdk-hnb659fds-lookup-role-{PRODUCTION}-eu-west-1")


def test_the_pipeline_may_start_only_its_own_builds(synthesized: Synthesized) -> None:
    allowed = {arn.rpartition("/")[2] for arn in policies_of(synthesized, "pipeline")["RunBuilds"]["Resource"]}
    projects = {one["Properties"]["Name"] for one in synthesized.stack.all("AWS::CodeBuild::Project").values()}
    assert projects <= allowed
    assert allowed - projects == {"project-publish-files-main"}  # comes and goes with file assets


def test_the_connection_may_be_used_under_both_prefixes(synthesized: Synthesized) -> None:
    for name in ("pipeline", "synth"):
        statement = policies_of(synthesized, name)["UseConnection"]
        assert {one.split(":")[0] for one in statement["Action"]} == {"codeconnections", "codestar-connections"}
        assert {one.split(":")[2] for one in statement["Resource"]} == {"codeconnections", "codestar-connections"}


def test_another_account_can_read_artifacts_and_their_key(synthesized: Synthesized) -> None:
    replica = Template.read(synthesized.folder / "PipelineStack-eu-west-1.template.json")
    for kind, key in (("AWS::S3::BucketPolicy", "PolicyDocument"), ("AWS::KMS::Key", "KeyPolicy")):
        principals = json.dumps([resolve(one["Properties"][key]) for one in replica.all(kind).values()])
        assert f"arn:aws:iam::{PRODUCTION}:role/cdk-hnb659fds-deploy-role-{PRODUCTION}-eu-west-1" in principals, kind


def test_failures_successes_and_approvals_are_notified(synthesized: Synthesized) -> None:
    rules = {
        one["Properties"]["Name"]: one["Properties"] for one in synthesized.stack.all("AWS::Events::Rule").values()
    }
    assert set(rules) == {"rule-pipeline-state-main", "rule-pipeline-approval-main", "rule-drift-main"}
    state = rules["rule-pipeline-state-main"]["EventPattern"]["detail"]
    assert state == {"pipeline": ["pipeline-main"], "state": ["FAILED", "SUCCEEDED"]}
    approval = rules["rule-pipeline-approval-main"]["EventPattern"]["detail"]
    assert approval["type"] == {"category": ["Approval"]}
    subscription = synthesized.stack.one("AWS::SNS::Subscription")
    assert (subscription["Protocol"], subscription["Endpoint"]) == ("email", "operators@example.com")
    assert synthesized.stack.one("AWS::SNS::Topic")["KmsMasterKeyId"]


def test_drift_is_detected_in_every_stack(synthesized: Synthesized) -> None:
    function = synthesized.stack.named("AWS::Lambda::Function", "FunctionName", "function-pipeline-drift-main")
    looked_at = json.loads(function["Environment"]["Variables"]["STACKS"])
    deployed = {
        action["Configuration"]["StackName"]
        for stage in ("Dev", "Prod")
        for action in synthesized.stages[stage]
        if action["ActionTypeId"]["Provider"] == "CloudFormation"
    }
    assert {name for one in looked_at for name in one["stacks"]} == deployed
    assert {one["region"] for one in looked_at} == {"us-east-1", "eu-west-1"}


def test_synthesis_is_deterministic(tmp_path: Path, synthesized: Synthesized) -> None:
    """Otherwise the pipeline would mutate itself forever."""
    overrides = json.loads(
        {one["Name"]: one["Value"] for one in synthesized.project("synth")["Environment"]["EnvironmentVariables"]}[
            "CONTEXT_OVERRIDES"
        ]
    )
    again = synthesize(tmp_path, overrides)
    assert again.stack == synthesized.stack


@pytest.mark.parametrize("package", ["aws-cdk", "cdk-assets"])
def test_the_locked_tools_are_the_pinned_ones(package: str) -> None:
    locked = json.loads((PROJECT / "package-lock.json").read_text())["packages"][f"node_modules/{package}"]["version"]
    assert locked == npm_version(package)


def test_a_version_range_is_rejected(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text('{"dependencies": {"aws-cdk": "^2.0.0"}}')
    monkeypatch.setattr("pipeline.versions._PROJECT", tmp_path)
    with pytest.raises(ValueError, match="exact version"):
        npm_version("aws-cdk")


def test_replica_keys_are_narrowed_by_alias(synthesized: Synthesized) -> None:
    condition = policies_of(synthesized, "pipeline")["UseReplicaKeys"]["Condition"]
    assert condition == {"ForAnyValue:StringEquals": {"kms:ResourceAliases": ["alias/pipeline-key-main-euw1"]}}
