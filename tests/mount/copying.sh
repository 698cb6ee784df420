#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Programs that give what they copy a mode, an owner and a time: they must succeed
# without a complaint, and see what they gave. For Ansible and mc, which are large,
# their system calls are replayed.

# shellcheck source=lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"

long_ago=978307200                      # 2001-01-01 UTC

# Mode and time of files.
shown() { stat -c '%a %Y' "$@"; }

# What is to be copied: a value and an empty one, with a mode each.
make_source()
{
	mkdir source
	printf 'value\n' >source/k
	: >source/empty
	chmod 600 source/k
	chmod 444 source/empty
	touch -d "@$long_ago" source/k source/empty
}

quietly()
{
	"$@" 2>"$top/complaints"
	equal "$(<"$top/complaints")" ''
}

# Both arrived, with mode and time.
all_is_copied()
{
	eventually pool_is 'k=value\n' empty=
	equal "$(shown mount/k)" "600 $long_ago"
	equal "$(shown mount/empty)" "444 $long_ago"
	equal "$(stat -c %a pool)" 644
}

install_sets_mode_and_owner()
{
	make_source
	quietly install -m 640 source/k mount/k
	eventually pool_is 'k=value\n'
	equal "$(stat -c %a mount/k)" 640
	quietly install -p -m 600 source/k mount/k
	equal "$(shown mount/k)" "600 $long_ago"
	((EUID != 0)) || {
		quietly install -o 12 -g 34 -m 604 source/k mount/k
		equal "$(stat -c '%a %u %g' mount/k)" '604 12 34'
	}
	pool_is 'k=value\n'
}
it install_sets_mode_and_owner
it install_sets_mode_and_owner k=old

cp_preserves()
{
	make_source
	quietly cp "$variant" source/k source/empty mount
	all_is_copied
	quietly cp "$variant" mount/k mount/empty .
	equal "$(shown k empty)" "$(shown source/k source/empty)"
}
for variant in -p -a --preserve=all; do
	it cp_preserves
	it cp_preserves k=old empty=old
done

mv_preserves()
{
	make_source
	quietly mv source/k source/empty mount
	all_is_copied
}
it mv_preserves
it mv_preserves k=old empty=old

rsync_preserves()
{
	needs rsync
	make_source
	quietly rsync "$variant" --chmod=D755 source/ mount/
	all_is_copied
	equal "$(rsync "$variant" --chmod=D755 --itemize-changes source/ mount/)" ''
	touch -d "@$((long_ago + 1))" source
	quietly rsync "$variant" --chmod=D755 source/ mount/
	equal "$(stat -c %Y mount)" "$((long_ago + 1))"
}
for variant in -rtp -a; do
	it rsync_preserves
	it rsync_preserves k=old empty=old
done

variant=

rsync_with_times_alone_succeeds()
{
	needs rsync
	make_source
	quietly rsync -rt source/ mount/
	eventually pool_is 'k=value\n' empty=
	equal "$(stat -c %Y mount/k)" "$long_ago"
}
it rsync_with_times_alone_succeeds

# It gives the mode to open(2), and looks no more.
tar_preserves_times()
{
	make_source
	chmod 755 source
	touch -d "@$long_ago" source
	tar -C source -cf archive .
	quietly tar -C mount -xpf archive
	eventually pool_is 'k=value\n' empty=
	equal "$(stat -c %Y mount/k mount/empty mount | uniq)" "$long_ago"
	chmod 600 mount/k
	tar -C mount -cf again .
	equal "$(tar -tvf again ./k | awk '{ print $1, $4 }')" \
		"$(tar -tvf archive ./k | awk '{ print $1, $4 }')"
}
it tar_preserves_times
it tar_preserves_times k=old empty=old

cpio_preserves()
{
	needs cpio
	make_source
	(cd source && printf '%s\n' k empty | cpio --quiet -o) >archive
	(cd mount && quietly cpio --quiet -imu <../archive)
	all_is_copied
}
it cpio_preserves
it cpio_preserves k=old empty=old

python_copies_with_attributes()
{
	make_source
	"$PYTHON" -c 'import shutil
for name in "k", "empty":
    shutil.copy2("source/" + name, "mount/" + name)'
	all_is_copied
	"$PYTHON" -c 'import shutil
shutil.copytree("mount", "tree")
shutil.copystat("mount/k", "mount/empty")'
	equal "$(shown tree/k tree/empty)" "$(shown source/k source/empty)"
	equal "$(shown mount/empty)" "600 $long_ago"
}
it python_copies_with_attributes
it python_copies_with_attributes k=old empty=old

ansible_writes_a_key()
{
	"$PYTHON" - <<-'EOF'
		import os
		name, final = 'mount/.ansible_tmpa1b2k', 'mount/k'
		os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
		fd = os.open(name, os.O_WRONLY | os.O_TRUNC)
		os.write(fd, b'value\n')
		os.close(fd)
		os.utime(name, (978307200, 978307200))
		os.chmod(name, 0o600)
		os.rename(name, final)
		os.chmod(final, 0o600)
	EOF
	eventually pool_is 'k=value\n'
	equal "$(shown mount/k)" "600 $long_ago"
}
it ansible_writes_a_key
it ansible_writes_a_key k=old

midnight_commander_copies_a_key()
{
	"$PYTHON" - <<-'EOF'
		import os
		fd = os.open('mount/k', os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
		os.chown('mount/k', os.geteuid(), os.getegid())
		os.chmod('mount/k', 0o600)
		os.write(fd, b'value\n')
		os.close(fd)
		os.chown('mount/k', os.geteuid(), os.getegid())
		os.chmod('mount/k', 0o600)
		os.utime('mount/k', (978307200, 978307200))
	EOF
	eventually pool_is 'k=value\n'
	equal "$(shown mount/k)" "600 $long_ago"
}
it midnight_commander_copies_a_key

make_goes_by_the_times_of_keys()
{
	needs make
	unset MAKEFLAGS MFLAGS MAKELEVEL	# of who runs the tests
	printf 'mount/target: mount/source\n\tcp mount/source mount/target\n' >Makefile
	make -s mount/target
	make -q mount/target
	touch -d '+1 hour' mount/source
	equal "$(make -n mount/target)" "cp mount/source mount/target"
	pool_is source=1 target=1
}
it make_goes_by_the_times_of_keys source=1

finish
