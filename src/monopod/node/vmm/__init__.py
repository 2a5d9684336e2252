"""Virtual machine monitors: the driver interface, the drivers, and the jail they all run in."""
