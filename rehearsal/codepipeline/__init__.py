"""Executes a pipeline definition as AWS CodePipeline does."""
