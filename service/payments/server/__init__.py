"""The `api` process: the HTTPS server around the application."""
