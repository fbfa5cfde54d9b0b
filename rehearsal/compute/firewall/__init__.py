"""AWS WAF on this machine: a web ACL as deployed, evaluated in front of a local load balancer.

`gate` stands in front, `web_acl` reads and evaluates, `statements` and `rates` are what rules ask, `managed_rules`
stands in for AWS's own groups, `inspection` is what is looked at, `records` what is counted and logged. What is not
known here is refused when the web ACL is read: a rule that was skipped would look like one that lets all through.
"""
