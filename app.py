"""The CDK app: read the configuration and create PipelineStack. Synthesis never calls AWS."""

import os
import sys
from pathlib import Path

from aws_cdk import App

from kit.configuration import ConfigurationError
from kit.rule_packs import add_rule_packs
from pipeline.config import read_config
from pipeline.pipeline_stack import PipelineStack

PROJECT = Path(__file__).parent


def main() -> int:
    """Synthesize and return the exit status."""
    app = App()
    try:
        config = read_config(app.node.get_all_context(), file=PROJECT / "cdk.json", environ=os.environ)
    except ConfigurationError as error:
        sys.stderr.write(f"\nInvalid configuration: {error}\n\n")
        return 2
    PipelineStack(app, "PipelineStack", config=config)
    add_rule_packs(app)
    app.synth()
    return 0


if __name__ == "__main__":
    sys.exit(main())
