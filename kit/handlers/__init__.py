"""Code that runs inline in Lambda functions: the standard library and boto3 only."""
