"""The VPC of one cluster on one host: namespaces, links, rules, addresses, services."""
