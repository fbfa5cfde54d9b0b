"""What runs beside the api: recovery, deliveries, sealing, housekeeping."""
