"""Programs that pipeline steps run after the synth step: the standard library, boto3 and requests only."""
