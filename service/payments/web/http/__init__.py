"""What happens between the wire and an endpoint: authentication, request guards, strict parsing, responses."""
