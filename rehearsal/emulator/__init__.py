"""A local AWS account: `ministack` on a loopback port, with handlers for the resource types that it lacks."""
