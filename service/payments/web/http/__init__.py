"""What stands between a request and its endpoint: authentication, guards, strict parsing, problems."""
