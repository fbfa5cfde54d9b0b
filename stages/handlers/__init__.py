"""Code that runs in the account as the function of a custom resource: standard library and boto3 only."""
