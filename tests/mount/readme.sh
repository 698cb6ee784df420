#!/bin/bash
# SPDX-License-Identifier: MIT
#
# The session that README.md shows, run as it stands there: what it says on the
# screen must be what the README says, but for dates and owners.

# shellcheck source=lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"

readme=$(cd "$tests/../.." && pwd)/README.md

# The block, with the case's own pool and mountpoint.
session()
{
	sed -n '/^## A session$/,/^## /{/^```console$/,/^```$/{/^```/!p}}' "$readme" |
		sed "s|/var/lib/hyperv/.kvp_pool_1|$POOL|g; s|/run/kvp|$MNT|g"
}

# A script that shows each command, as the reader typed it, and runs it.
as_script()
{
	local line
	while IFS= read -r line; do
		[[ $line == '# '* ]] || continue
		printf "printf '%%s\\\\n' %q\n%s\n" "$line" "${line#\# }"
	done
}

# What differs from one machine, or one run, to the next.
without_chance()
{
	sed -E -e 's/^(.{10} 1) [^ ]+ +[^ ]+ +([0-9]+) [A-Z][a-z]{2} .* /\1 \2 /' \
		-e 's/^[^ ]*: line [0-9]+: /bash: /'
}

has_no_daemon() { [[ ! $(daemons_of "$1") ]]; }

session_goes_as_it_says()
{
	session >wanted
	[[ $(grep -c '^# ' wanted) -ge 10 ]]
	# nothing but the case's own files is touched
	if sed "s|$top||g" wanted | grep -E '/(run|var|etc)/'; then return 1; fi
	needs fusermount3
	mkdir bin
	ln -s "$KVPFS" bin/kvpfs
	printf '#!/bin/sh\nexec fusermount3 -u "$@"\n' >bin/umount
	chmod +x bin/umount
	rmdir "$MNT"
	as_script <wanted >script
	PATH=$PWD/bin:$PATH timeout 50 bash --norc script >shown 2>&1
	diff <(without_chance <wanted) <(without_chance <shown)
	is_gone "$MNT"
	eventually has_no_daemon "$MNT"
}
options=none it session_goes_as_it_says

finish
