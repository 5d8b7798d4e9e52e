"""Every SQL statement of trigger, one file per noun."""
