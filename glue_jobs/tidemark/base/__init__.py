"""What everything stands on: errors, quoting, storage, credentials, sessions. Knows no model."""
