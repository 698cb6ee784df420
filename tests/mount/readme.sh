#!/bin/bash
# SPDX-License-Identifier: MIT
#
# The sessions that README.md shows, run as they stand there: what they say on the screen
# must be what the README says, but for dates and owners. And no other block of commands
# in it is without a test.

# shellcheck source=lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"
# shellcheck source=../blocks.sh
. "${BASH_SOURCE[0]%/*}/../blocks.sh"

readme=$(cd "$tests/../.." && pwd)/README.md

# With the case's own pool and mountpoint.
session()
{
	block "$readme" '# echo hello' |
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
	PATH=$PWD/bin:$PATH timeout 300 bash --norc script >shown 2>&1
	diff <(without_chance <wanted) <(without_chance <shown)
	is_gone "$MNT"
	eventually has_no_daemon "$MNT"
}
options=none it session_goes_as_it_says

# On pools of its own.
kvp_goes_as_it_says()
{
	needs_root
	unshare -m true 2>/dev/null || skip 'needs a mount namespace'
	block "$readme" '# kvp set' >wanted
	[[ $(grep -c '^# kvp ' wanted) -ge 5 ]]
	as_script <wanted >script
	mkdir bin
	ln -s "${KVPFS%/*}/kvp" bin/kvp
	mkdir -p machine/sys/class/dmi/id
	echo 550e8400-e29b-41d4-a716-446655440000 >machine/sys/class/dmi/id/product_uuid
	KVP_ROOT=$PWD/machine PATH=$PWD/bin:$PATH timeout 300 unshare -m bash --norc -c '
		mount -t tmpfs none /var/lib && mkdir /var/lib/hyperv && . ./script &&
		kvp get PROVISIONING_REPORT >report' >shown 2>&1 || cat shown
	diff wanted shown
	grep '^result=success|.*|image=web$' report
}
options=none it kvp_goes_as_it_says

# What blocks there are, by how their first lines begin, and who runs them.
every_block_has_a_test()
{
	diff - <(awk '/^```/ { inside = !inside
			if (inside) { language = substr($0, 4); getline
				if (language) print language ": " substr($0, 1, 50)
			} }' "$readme") <<-'END'
	sh: contrib/quickstart.sh   # installs what is missing
	sh: contrib/dependencies.sh build
	sh: contrib/dependencies.sh packages
	console: # mkdir -p /run/kvp
	sh: sudo systemctl enable --now kvpfs kvpfs@external
	ini: [Service]
	fstab: guest /mnt/kvp fuse.kvpfs allow_other,nofail,x-sys
	sh: sudo mkdir -p /mnt/kvp && sudo chattr +i /mnt/kvp
	powershell: $ns = 'root\virtualization\v2'
	console: # kvp set greeting hello
	END
	# fresh.sh: the first three and the first console; systemd.sh: the next sh, ini
	# and fstab; here: both consoles; nobody: powershell
	grep -q 'not.*run' "$readme"
}
options=none it every_block_has_a_test

finish
