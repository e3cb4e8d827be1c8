"""Alarms and the CloudWatch dashboard."""
