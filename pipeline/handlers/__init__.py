"""Code that runs inline in the pipeline's Lambda functions: the standard library and boto3 only."""
