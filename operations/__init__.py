"""What a person does to installations: destroy one, free stacks that are stuck. Needs boto3 only, never the CDK app."""
