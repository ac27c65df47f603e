#!/bin/sh
# The web container's health page: 200 while the process works, 503 once it is stuck.
if [ -e /run/app/stuck ]; then
  printf 'Status: 503 Service Unavailable\r\nContent-Type: text/plain\r\n\r\nupstream 127.0.0.1:9000: connection refused\n'
else
  printf 'Content-Type: text/plain\r\n\r\nok\n'
fi
