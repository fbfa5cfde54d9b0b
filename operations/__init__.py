"""Commands for operators: destroy an installation, delete stuck stacks. They need boto3 only, not the CDK app."""
