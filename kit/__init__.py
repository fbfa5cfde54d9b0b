"""What the pipeline and the environments share: names, tags, policies, encryption, small functions."""
