"""The demo: a business day, told and checked."""
