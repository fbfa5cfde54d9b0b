"""MonitoringStack: dashboard, alarms and saved log queries."""
