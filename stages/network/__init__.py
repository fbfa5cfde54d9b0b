"""NetworkStack: the VPC, the security groups, the environment's key and the alarm topic."""
