"""AWS WAF: evaluates a deployed web ACL for requests to a local load balancer.

Whatever is not implemented is refused when the web ACL is parsed: a rule that is skipped would look like one that
allows everything.
"""
