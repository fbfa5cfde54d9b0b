"""PaymentStage: every application stack of one environment."""
