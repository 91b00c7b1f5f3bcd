#!/bin/sh
# HAProxy as Serve starts it, with four corrections. serve_app/environment.py names this file to
# Serve, and the real program in SLUICE_HAPROXY.
#
# -dS: Serve's configuration asks for splicing, and HAProxy 2.8 then no longer notices that a client
# has left while its answer is being made, when head and body of the request came apart.
#
# Its metrics and statistics pages would be open to the network even when the server itself is not.
#
# It would send a line for each request to the system's log, with the path and the query as the client
# wrote them: what it has to say of itself begins with a notice.
#
# It would wait for a request's head for ever, and its own errors would be HTML or plain text; what
# serve_app/haproxy.py has against that is in SLUICE_HAPROXY_DEFAULTS.
correct() {
    sed -i 's/^\( *log .* local0\) info$/\1 notice/' "$1"
    if [ "${SLUICE_HAPROXY_LOCAL:-}" = 1 ]; then
        sed -i 's/^\( *bind \)[*]\{0,1\}:\([0-9]\)/\1127.0.0.1:\2/' "$1"
    fi
    if [ -n "${SLUICE_HAPROXY_DEFAULTS:-}" ] && ! grep -q '# Sluice' "$1"; then
        awk '
            / errorfile 50[234] / || / return status 404 .*"Path / { next }
            { print }
            /^defaults$/ { print "    # Sluice\n" ENVIRON["SLUICE_HAPROXY_DEFAULTS"] }
        ' "$1" > "$1.corrected" && cat "$1.corrected" > "$1"
    fi
}
previous=
for argument in "$@"; do
    if [ "$previous" = -f ] && [ -w "$argument" ]; then
        correct "$argument"
    fi
    previous=$argument
done
exec "$SLUICE_HAPROXY" -dS "$@"
