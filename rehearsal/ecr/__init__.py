"""Images: built from Dockerfiles into folders, or by a container engine, and pushed to a local registry."""
