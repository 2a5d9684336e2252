#!/bin/sh
# Measures Redis and PostgreSQL by their own benchmarks, in one container.
# Prints a line `figure value` for each figure, and the line `done`; or `failed` and the reason.
set -eu
seconds=$1
exec 2>/tmp/log
trap 'status=$?; [ $status = 0 ] || { echo "failed: $(tail -n 3 /tmp/log | tr "\n" " ")"; sleep 3600; }' EXIT

redis-server --save "" --appendonly no --port 6379 --bind 127.0.0.1 --daemonize yes >/tmp/log
until redis-cli ping >/tmp/log 2>&1; do sleep 0.1; done
# One of 100,000 keys each time; 50 connections, as redis-benchmark's default is.
redis() {
    redis-benchmark -r 100000 -c 50 --csv "$@" | awk -F '","' -v name="$name" '
        { gsub(/"/, "") } /^(SET|GET)/ {
            split($0, field, ",")
            print name "_" tolower(field[1]) "_per_second", field[2]
            print name "_" tolower(field[1]) "_p99_ms", field[7]
        }'
}
# The number of requests that takes about the seconds wanted.
rate=$(redis-benchmark -r 100000 -c 50 -n 5000 --csv -t set | awk -F '"' 'END { print int($4) }')
name=redis redis -t set,get -n $((rate * seconds + 1000))
name=redis_pipelined redis -t set,get -P 16 -n $((rate * seconds * 4 + 1000))
redis-cli shutdown nosave >/tmp/log || true

PATH=$PATH:$(echo /usr/lib/postgresql/*/bin)
export PGDATA=/data/postgres PGHOST=/tmp PGUSER=bench PGDATABASE=postgres
initdb --username=bench --auth=trust --no-instructions >/tmp/log
pg_ctl start --wait --options='-c listen_addresses= -c unix_socket_directories=/tmp -c jit=off' --log=/tmp/log >/dev/null
pgbench --initialize --scale=10 --quiet >/tmp/log
transactions() {
    pgbench --client=4 --time="$seconds" "$@" | awk '/^tps = / { print $3 } /^latency average/ { print $4 > "/tmp/latency" }'
}
echo "postgres_select_per_second $(transactions --select-only)"
echo "postgres_select_average_ms $(cat /tmp/latency)"
echo "postgres_write_per_second $(transactions)"
echo "postgres_write_average_ms $(cat /tmp/latency)"
echo done
sleep 3600
