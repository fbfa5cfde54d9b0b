"""Programs of the pipeline steps after the synth step. They import the standard library, boto3 and requests only."""
