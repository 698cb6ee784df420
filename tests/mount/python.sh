#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Runs a test that is written in Python; where there is none, the test is skipped.
#
#	python.sh TEST [CASE...]
PYTHON=${PYTHON:-$(PATH=/usr/bin:$PATH command -v python3)} || {
	echo '1..0 # SKIP needs python3'
	exit 77
}
exec "$PYTHON" -B "$@"
