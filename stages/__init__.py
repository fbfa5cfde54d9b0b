"""PaymentStage: the application stacks of one environment."""
