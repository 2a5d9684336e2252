#!/bin/sh
# The first process of a container must end when asked to; busybox's httpd alone would not.
httpd -f -p 8080 -h /www &
server=$!
trap 'kill "$server"' TERM INT
wait "$server"
