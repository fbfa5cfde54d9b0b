"""An execution walks a pipeline as CodePipeline does."""

import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from rehearsal.codepipeline.definition import Action, Pipeline, Stage
from rehearsal.codepipeline.execution import Execution, PipelineChangedError, StageFailedError
from rehearsal.codepipeline.run_context import ActionError, CancelledError, RunContext
from rehearsal.codepipeline.timeline import Status, Timeline


class Script:
    """A provider that does what the test says for each action, and remembers the order."""

    def __init__(self, **steps: Callable[[RunContext], Mapping[str, str] | None]) -> None:
        self.steps = steps
        self.ran: list[str] = []

    def run(self, action: Action, around: RunContext) -> Mapping[str, str]:
        self.ran.append(action.name)
        around.configuration(action)
        step = self.steps.get(action.name)
        return (step(around) if step else None) or {}


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
    tmp_path: Path, script: Script, *stages: Stage, changed: Callable[[], bool] = lambda: False
) -> tuple[Execution, Timeline]:
    timeline = Timeline(tmp_path / "timeline.json")
    return (
        Execution(
            pipeline=Pipeline(name="p", role_arn="r", stages=stages, restart_on_update=True),
            commit_id="c0ffee",
            artifacts=tmp_path / "artifacts",
            logs=tmp_path,
            providers={"Script": script},
            timeline=timeline,
            cancelled=threading.Event(),
            changed=changed,
        ),
        timeline,
    )


def fail(_: RunContext) -> None:
    cause = "it broke"
    raise ActionError(cause)


def test_stages_and_run_orders_run_in_order(tmp_path: Path) -> None:
    script = Script()
    walk, _ = execution(
        tmp_path,
        script,
        Stage(name="One", actions=(action("b", 2), action("a", 1))),
        Stage(name="Two", actions=(action("c"),)),
    )
    walk.run()
    assert script.ran == ["a", "b", "c"]


def test_actions_of_equal_run_order_run_side_by_side(tmp_path: Path) -> None:
    meeting = threading.Barrier(2, timeout=10)

    def meet(_: RunContext) -> None:
        meeting.wait()

    script = Script(a=meet, b=meet)
    walk, _ = execution(tmp_path, script, Stage(name="One", actions=(action("a"), action("b"))))
    walk.run()
    assert sorted(script.ran) == ["a", "b"]


def test_a_failed_action_stops_the_pipeline_and_names_stage_action_and_cause(tmp_path: Path) -> None:
    script = Script(a=fail)
    walk, timeline = execution(
        tmp_path, script, Stage(name="Dev", actions=(action("a"),)), Stage(name="Prod", actions=(action("b"),))
    )
    with pytest.raises(StageFailedError, match="stage Dev, action a: it broke"):
        walk.run()
    assert script.ran == ["a"]
    assert [entry.status for entry in timeline.entries()] == [Status.FAILED, Status.ABANDONED]


@pytest.mark.parametrize(("result", "told"), [("ROLLBACK", True), ("FAIL", False)])
def test_a_failure_says_what_only_codepipeline_would_do_now(tmp_path: Path, result: str, told: bool) -> None:
    walk, _ = execution(tmp_path, Script(a=fail), Stage(name="Dev", actions=(action("a"),), on_failure=result))
    with pytest.raises(StageFailedError) as caught:
        walk.run()
    assert ("A rehearsal shows no such rollback" in str(caught.value)) == told


def test_the_siblings_of_a_failed_action_end_before_the_stage_does(tmp_path: Path) -> None:
    failed = threading.Event()

    def slow(_: RunContext) -> None:
        assert failed.wait(10)

    def failing(around: RunContext) -> None:
        failed.set()
        fail(around)

    walk, timeline = execution(
        tmp_path, Script(a=failing, b=slow), Stage(name="Dev", actions=(action("a"), action("b")))
    )
    with pytest.raises(StageFailedError):
        walk.run()
    assert [entry.status for entry in timeline.entries()] == [Status.FAILED, Status.SUCCEEDED]


def test_exported_variables_reach_later_actions(tmp_path: Path) -> None:
    seen = []
    script = Script(
        a=lambda _: {"URL": "https://localhost:1"},
        b=lambda around: seen.append(around.variables.resolve("#{Dev.URL}/healthz")),
    )
    walk, _ = execution(
        tmp_path, script, Stage(name="Dev", actions=(action("a", 1, namespace="Dev"), action("b", 2, x="#{Dev.URL}")))
    )
    walk.run()
    assert seen == ["https://localhost:1/healthz"]


def test_an_unknown_variable_fails_the_action_and_says_what_is_known(tmp_path: Path) -> None:
    walk, _ = execution(tmp_path, Script(), Stage(name="Dev", actions=(action("a", x="#{Nowhere.URL}"),)))
    with pytest.raises(StageFailedError, match=r"#\{Nowhere.URL\} was not exported .* \['codepipeline'\]"):
        walk.run()


def test_an_unknown_provider_is_a_failure_not_a_skip(tmp_path: Path) -> None:
    strange = Action(name="a", category="Invoke", provider="Lambda", configuration={})
    walk, _ = execution(tmp_path, Script(), Stage(name="Dev", actions=(strange,)))
    with pytest.raises(StageFailedError, match="does not know how to run Invoke actions of provider Lambda"):
        walk.run()


def test_a_changed_definition_supersedes_the_execution_before_the_next_stage(tmp_path: Path) -> None:
    script = Script()
    walk, _ = execution(
        tmp_path,
        script,
        Stage(name="UpdatePipeline", actions=(action("a"),)),
        Stage(name="Dev", actions=(action("b"),)),
        changed=lambda: script.ran == ["a"],
    )
    with pytest.raises(PipelineChangedError):
        walk.run()
    assert script.ran == ["a"]


def test_nothing_starts_once_the_rehearsal_is_being_stopped(tmp_path: Path) -> None:
    script = Script(a=lambda _: walk.cancelled.set())
    walk, _ = execution(tmp_path, script, Stage(name="Dev", actions=(action("a", 1), action("b", 2))))
    with pytest.raises(CancelledError):
        walk.run()
    assert script.ran == ["a"]


def test_the_timeline_file_tells_what_ran_and_how_it_ended(tmp_path: Path) -> None:
    walk, _ = execution(tmp_path, Script(b=fail), Stage(name="Dev", actions=(action("a", 1), action("b", 2))))
    with pytest.raises(StageFailedError):
        walk.run()
    text = (tmp_path / "timeline.json").read_text()
    assert '"status": "Succeeded"' in text
    assert '"cause": "it broke"' in text
