"""Attacks, a file for each kind of attacker. Each test fails without the defence it names."""
