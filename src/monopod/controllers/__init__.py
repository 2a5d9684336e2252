"""Controllers, each a process; none knows another."""
