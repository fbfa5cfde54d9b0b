"""Code that runs in the account as functions of the pipeline: inline, with the standard library and boto3 only."""
