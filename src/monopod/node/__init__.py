"""What one host does: run machines, their network and their disks."""
