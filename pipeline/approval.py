"""An approval that says what it is about: the change report's summary, the commit, and where to read the rest."""

import jsii
from aws_cdk import aws_codepipeline as codepipeline
from aws_cdk import aws_codepipeline_actions as actions
from aws_cdk import pipelines

#: CodePipeline's own limit for the text of an approval, with its variables filled in.
TEXT_CHARACTERS = 1_000


@jsii.implements(pipelines.ICodePipelineActionFactory)
class InformedApproval(pipelines.Step):
    """A manual approval whose text is filled in when the pipeline gets there."""

    def __init__(self, step_id: str, *, report: pipelines.CodeBuildStep, text: str, link: str) -> None:
        super().__init__(step_id)
        self._text = text
        self._link = link
        self.add_step_dependency(report)
        self._discover_referenced_outputs({"text": text, "link": link})  # has the producers export them

    @jsii.member(jsii_name="produceAction")
    def produce_action(
        self,
        stage: codepipeline.IStage,
        options: pipelines.ProduceActionOptions,
    ) -> pipelines.CodePipelineActionFactoryResult:
        """Put the action into its stage; called by CDK Pipelines."""
        stage.add_action(
            actions.ManualApprovalAction(
                action_name=options.action_name,
                run_order=options.run_order,
                additional_information=self._text,
                external_entity_link=self._link,
            )
        )
        return pipelines.CodePipelineActionFactoryResult(run_orders_consumed=1)
