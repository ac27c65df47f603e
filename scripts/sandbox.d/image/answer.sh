#!/bin/sh
# What the stand-in databases say to one connection: a PONG for whatever line comes.
read -r _ && printf '+PONG\r\n'
