"""What is built once into the cache: upstream's programs and container images."""
