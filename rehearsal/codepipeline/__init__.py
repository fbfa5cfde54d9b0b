"""Walks a pipeline definition as AWS CodePipeline would: stages in order, equal run orders side by side."""
