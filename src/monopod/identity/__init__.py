"""Who is who: the private certificate authorities, and what each user of the cluster holds."""
