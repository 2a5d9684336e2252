#!/bin/sh
# Shows which machine answered: a page for browsers, lines for everything else.

memory() {
    awk '/^MemTotal:/ { printf "%d MiB", $2 / 1024 }' /proc/meminfo
}

address() {
    ip -4 -o address show scope global | awk '{ sub("/.*", "", $4); print $4; exit }'
}

facts() {
    echo "pod	$(hostname)"
    [ -z "${NODE_NAME:-}" ] || echo "node	$NODE_NAME"
    echo "address	$(address)"
    echo "boot id	$(cat /proc/sys/kernel/random/boot_id)"
    echo "kernel	$(uname -sr)"
    echo "machine	$(nproc) vCPU, $(memory), up $(cut -d. -f1 /proc/uptime) s"
}

case "${HTTP_ACCEPT:-}" in
*text/html*)
    printf 'Content-Type: text/html; charset=utf-8\r\n\r\n'
    cat <<'PAGE'
<!doctype html>
<html lang="en">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Monopod</title>
<style>
:root { color-scheme: light dark }
body { font: 1.1rem/1.6 system-ui, sans-serif; max-width: 44rem; margin: 12vh auto; padding: 0 1rem }
th { text-align: left; font-weight: normal; opacity: .65; padding-right: 2rem }
td { font-family: ui-monospace, monospace; overflow-wrap: anywhere }
</style>
<h1>One pod, one machine, one node</h1>
<p>This page was made inside a virtual machine that runs nothing but this pod.</p>
<table>
PAGE
    facts | sed 's/&/\&amp;/g; s/</\&lt;/g; s|^\([^	]*\)	\(.*\)$|<tr><th>\1<td>\2|'
    echo '</table>'
    ;;
*)
    printf 'Content-Type: text/plain; charset=utf-8\r\n\r\n'
    facts | sed 's/	/: /'
    ;;
esac
