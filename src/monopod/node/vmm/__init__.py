"""Virtual machine monitors: the driver interface, the drivers and their jail."""
