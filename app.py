"""The CDK app: reads the configuration and makes PipelineStack. Synthesis never calls AWS."""

import os
import sys
from pathlib import Path

from aws_cdk import App

from pipeline.config import read_config
from pipeline.pipeline_stack import PipelineStack
from stages.config import ConfigurationError
from stages.rules import add_rule_packs

PROJECT = Path(__file__).parent


def main() -> int:
    """Synthesize; answer the exit status."""
    app = App()
    try:
        config = read_config(app.node.get_all_context(), file=PROJECT / "cdk.json", environ=os.environ)
    except ConfigurationError as error:
        sys.stderr.write(f"\nConfiguration: {error}\n\n")
        return 2
    PipelineStack(app, "PipelineStack", config=config)
    add_rule_packs(app)
    app.synth()
    return 0


if __name__ == "__main__":
    sys.exit(main())
