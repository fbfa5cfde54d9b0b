"""The delivery pipeline: PipelineStack, its configuration, its gates, and the jobs that its steps run."""
