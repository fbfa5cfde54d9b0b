"""A manual approval that shows the change report's summary, the commit, and a link to the report."""

import jsii
from aws_cdk import aws_codepipeline as codepipeline
from aws_cdk import aws_codepipeline_actions as actions
from aws_cdk import pipelines

#: CodePipeline's limit for the text of an approval in characters, with its variables filled in.
TEXT_LIMIT = 1_000


@jsii.implements(pipelines.ICodePipelineActionFactory)
class InformedApproval(pipelines.Step):
    """A manual approval whose text contains variables of earlier actions."""

    def __init__(self, step_id: str, *, report: pipelines.CodeBuildStep, text: str, link: str) -> None:
        super().__init__(step_id)
        self._text = text
        self._link = link
        self.add_step_dependency(report)
        self._discover_referenced_outputs({"text": text, "link": link})  # makes the producers export them

    @jsii.member(jsii_name="produceAction")
    def produce_action(
        self,
        stage: codepipeline.IStage,
        options: pipelines.ProduceActionOptions,
    ) -> pipelines.CodePipelineActionFactoryResult:
        """Add the action to its stage; called by CDK Pipelines."""
        stage.add_action(
            actions.ManualApprovalAction(
                action_name=options.action_name,
                run_order=options.run_order,
                additional_information=self._text,
                external_entity_link=self._link,
            )
        )
        return pipelines.CodePipelineActionFactoryResult(run_orders_consumed=1)
