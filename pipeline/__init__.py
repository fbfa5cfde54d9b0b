"""The delivery pipeline: PipelineStack, its configuration, its gates, and what its steps run."""
