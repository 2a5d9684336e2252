"""One cluster's VPC on one host: network namespaces, links, nftables rules, IPAM, services."""
