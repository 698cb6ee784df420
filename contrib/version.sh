#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The version of this tree:
#
#	version.sh		prints it: the one at the head of CHANGES; while that is
#				not released, with "~" and the commit behind it, as in
#				0.1.0~202611251200.1a2b3c4, which packages sort before
#				the release
#	version.sh date		prints the time of the commit, in seconds
#
# A tarball has it in the file .version, as of that time.
set -eu
cd "$(dirname "$0")/.."

# git, if this directory is the top of a repository.
git_log() {
	[ -e .git ] && TZ=UTC git log -1 "$@" 2>/dev/null
}

unreleased() {
	git_log --abbrev=7 --date=format-local:%Y%m%d%H%M --format=%cd.%h || echo dev
}

if [ "${1-}" = date ]; then
	git_log --format=%ct || stat -c %Y .version 2>/dev/null || stat -c %Y CHANGES
elif [ -e .version ]; then
	cat .version
else
	read -r head <CHANGES
	case $head in
	*', not released yet') echo "${head%%,*}~$(unreleased)" ;;
	*) echo "${head%%,*}" ;;
	esac
fi
