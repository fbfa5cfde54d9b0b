"""An execution runs a pipeline as CodePipeline does."""

import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from rehearsal.codepipeline.definition import Action, Pipeline, Stage
from rehearsal.codepipeline.execution import Execution, PipelineChangedError, StageFailedError
from rehearsal.codepipeline.run_context import ActionError, CancelledError, RunContext
from rehearsal.codepipeline.timeline import Status, Timeline


class ScriptExecutor:
    """An executor that does what the test says for each action, and records the order."""

    def __init__(self, **steps: Callable[[RunContext], Mapping[str, str] | None]) -> None:
        self.steps = steps
        self.ran: list[str] = []

    def execute(self, action: Action, context: RunContext) -> Mapping[str, str]:
        self.ran.append(action.name)
        context.configuration(action)
        step = self.steps.get(action.name)
        return (step(context) if step else None) or {}


def action(name: str, order: int = 1, *, namespace: str | None = None, **configuration: str) -> Action:
    return Action(
        name=name,
        category="Build",
        provider="Script",
        configuration=configuration,
        run_order=order,
        namespace=namespace,
    )


def execution(
    tmp_path: Path, script: ScriptExecutor, *stages: Stage, has_changed: Callable[[], bool] = lambda: False
) -> tuple[Execution, Timeline]:
    timeline = Timeline(tmp_path / "timeline.json")
    return (
        Execution(
            pipeline=Pipeline(name="p", role_arn="r", stages=stages, restart_on_update=True),
            commit_id="c0ffee",
            artifacts=tmp_path / "artifacts",
            logs=tmp_path,
            executors={"Script": script},
            timeline=timeline,
            cancelled=threading.Event(),
            has_changed=has_changed,
        ),
        timeline,
    )


def fail(_: RunContext) -> None:
    raise ActionError("broken")


def test_stages_and_run_orders_run_in_order(tmp_path: Path) -> None:
    script = ScriptExecutor()
    pipeline, _ = execution(
        tmp_path,
        script,
        Stage(name="One", actions=(action("b", 2), action("a", 1))),
        Stage(name="Two", actions=(action("c"),)),
    )
    pipeline.run()
    assert script.ran == ["a", "b", "c"]


def test_actions_of_equal_run_order_run_in_parallel(tmp_path: Path) -> None:
    meeting = threading.Barrier(2, timeout=10)

    def meet(_: RunContext) -> None:
        meeting.wait()

    script = ScriptExecutor(a=meet, b=meet)
    pipeline, _ = execution(tmp_path, script, Stage(name="One", actions=(action("a"), action("b"))))
    pipeline.run()
    assert sorted(script.ran) == ["a", "b"]


def test_a_failed_action_stops_the_pipeline(tmp_path: Path) -> None:
    script = ScriptExecutor(a=fail)
    pipeline, timeline = execution(
        tmp_path, script, Stage(name="Dev", actions=(action("a"),)), Stage(name="Prod", actions=(action("b"),))
    )
    with pytest.raises(StageFailedError, match="stage Dev, action a: broken"):
        pipeline.run()
    assert script.ran == ["a"]
    assert [entry.status for entry in timeline.entries()] == [Status.FAILED, Status.ABANDONED]


@pytest.mark.parametrize(("result", "noted"), [("ROLLBACK", True), ("FAIL", False)])
def test_a_rollback_is_noted(tmp_path: Path, result: str, noted: bool) -> None:
    pipeline, _ = execution(
        tmp_path, ScriptExecutor(a=fail), Stage(name="Dev", actions=(action("a"),), on_failure=result)
    )
    with pytest.raises(StageFailedError) as caught:
        pipeline.run()
    assert ("CodePipeline would now roll the stage back" in str(caught.value)) is noted


def test_a_stage_waits_for_all_of_its_actions(tmp_path: Path) -> None:
    failed = threading.Event()

    def slow(_: RunContext) -> None:
        assert failed.wait(10)

    def failing(context: RunContext) -> None:
        failed.set()
        fail(context)

    pipeline, timeline = execution(
        tmp_path, ScriptExecutor(a=failing, b=slow), Stage(name="Dev", actions=(action("a"), action("b")))
    )
    with pytest.raises(StageFailedError):
        pipeline.run()
    assert [entry.status for entry in timeline.entries()] == [Status.FAILED, Status.SUCCEEDED]


def test_exported_variables_reach_later_actions(tmp_path: Path) -> None:
    seen = []
    script = ScriptExecutor(
        a=lambda _: {"URL": "https://localhost:1"},
        b=lambda context: seen.append(context.variables.resolve("#{Dev.URL}/healthz")),
    )
    pipeline, _ = execution(
        tmp_path, script, Stage(name="Dev", actions=(action("a", 1, namespace="Dev"), action("b", 2, x="#{Dev.URL}")))
    )
    pipeline.run()
    assert seen == ["https://localhost:1/healthz"]


def test_an_unknown_variable_fails_the_action(tmp_path: Path) -> None:
    pipeline, _ = execution(tmp_path, ScriptExecutor(), Stage(name="Dev", actions=(action("a", x="#{Nowhere.URL}"),)))
    with pytest.raises(
        StageFailedError, match=r"no earlier action exported the variable #\{Nowhere.URL\}; .*\['codepipeline'\]"
    ):
        pipeline.run()


def test_an_unknown_provider_fails_the_action(tmp_path: Path) -> None:
    unknown = Action(name="a", category="Invoke", provider="Lambda", configuration={})
    pipeline, _ = execution(tmp_path, ScriptExecutor(), Stage(name="Dev", actions=(unknown,)))
    with pytest.raises(StageFailedError, match="Invoke actions of provider Lambda are not supported"):
        pipeline.run()


def test_a_changed_definition_supersedes_the_execution(tmp_path: Path) -> None:
    script = ScriptExecutor()
    pipeline, _ = execution(
        tmp_path,
        script,
        Stage(name="UpdatePipeline", actions=(action("a"),)),
        Stage(name="Dev", actions=(action("b"),)),
        has_changed=lambda: script.ran == ["a"],
    )
    with pytest.raises(PipelineChangedError):
        pipeline.run()
    assert script.ran == ["a"]


def test_no_action_starts_after_cancellation(tmp_path: Path) -> None:
    script = ScriptExecutor(a=lambda _: pipeline.cancelled.set())
    pipeline, _ = execution(tmp_path, script, Stage(name="Dev", actions=(action("a", 1), action("b", 2))))
    with pytest.raises(CancelledError):
        pipeline.run()
    assert script.ran == ["a"]


def test_the_timeline_is_written_to_a_file(tmp_path: Path) -> None:
    pipeline, _ = execution(
        tmp_path, ScriptExecutor(b=fail), Stage(name="Dev", actions=(action("a", 1), action("b", 2)))
    )
    with pytest.raises(StageFailedError):
        pipeline.run()
    text = (tmp_path / "timeline.json").read_text()
    assert '"status": "Succeeded"' in text
    assert '"cause": "broken"' in text
