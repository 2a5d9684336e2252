"""Monopod's API group: keys, typed resources, conditions. No I/O."""
