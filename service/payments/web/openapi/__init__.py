"""The OpenAPI document, generated from the endpoints, and the reference rendered from it."""
