"""Jobs, state machine, schedule, and what each may do."""
