"""Application Load Balancers: listeners, rules, target groups and the web ACL in front of them."""
