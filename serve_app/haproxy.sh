#!/bin/sh
# HAProxy as Serve starts it, with two corrections. serve_app/environment.py names this file to
# Serve, and the real program in SLUICE_HAPROXY.
#
# -dS: Serve's configuration asks for splicing, and HAProxy 2.8 then no longer notices that a client
# has left while its answer is being made, when head and body of the request came apart.
#
# Its metrics and statistics pages would be open to the network even when the server itself is not.
if [ "${SLUICE_HAPROXY_LOCAL:-}" = 1 ]; then
    previous=
    for argument in "$@"; do
        if [ "$previous" = -f ] && [ -w "$argument" ]; then
            sed -i 's/^\( *bind \)[*]\{0,1\}:\([0-9]\)/\1127.0.0.1:\2/' "$argument"
        fi
        previous=$argument
    done
fi
exec "$SLUICE_HAPROXY" -dS "$@"
