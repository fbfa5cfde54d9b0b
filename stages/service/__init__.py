"""ServiceStack: containers, ingress, scaling, and the alarms that roll back a deployment."""
