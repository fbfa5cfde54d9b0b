"""The worker process, next to the api: recovery, webhook deliveries, sealing, housekeeping."""
