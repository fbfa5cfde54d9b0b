"""HTTP: what is read from requests and how use cases are answered."""
