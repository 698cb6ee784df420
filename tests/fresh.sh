#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# What README.md tells a newcomer to do, done as it stands there on machines that have
# nothing but a minimal Debian: chroots that debootstrap makes, with a clone in a path
# that has a space and letters beyond ASCII. On one goes an ordinary user with sudo, on
# the other root, who leaves "sudo" out; both at the same time. TAP on stdout.
#
#	fresh.sh		all that README.md says, on bookworm
#	fresh.sh SUITE [USER]	whether it builds on that Debian, such as trixie or
#				bullseye, and all tests pass, as root (the default)
#				or as another user, "someone"
#
# The minimal tree is kept as build/fresh/SUITE.tar. Where it cannot be done (not root,
# no debootstrap, no network) it says so, and exits with 77. In the chroot, the same
# script runs with other arguments.
#
# functions are called by name:
# shellcheck disable=SC2317
set -uo pipefail
self=$(realpath "$0")
top=${self%/*/*}
place="kvpfs von Zoë/kvpfs"

skip_all()
{
	echo "1..0 # SKIP $*"
	exit 77
}

# == in the chroot

failures=0
who=root
pool=/var/lib/hyperv/.kvp_pool_1

# it NAME: one case, as $who, in the clone, with an umask that shows what relies on it
it()
{
	local status begun=$SECONDS
	(
		set -e
		umask 077
		cd "$(home)/$place"
		"$1"
	) >/tmp/output 2>&1 </dev/null
	status=$?
	if ((status == 0)); then
		echo "ok - $1 ($who, $((SECONDS - begun))s)"
	else
		failures=$((failures + 1))
		echo "not ok - $1 ($who)"
		tail -n 5000 /tmp/output | sed 's/^/# /'
	fi
}

equal()
{
	[[ $1 == "$2" ]] || {
		printf 'got %q, expected %q\n' "$1" "$2"
		return 1
	}
}

home() { if [[ $who == root ]]; then echo /root; else echo "/home/$who"; fi; }

# Runs the script on stdin as a login of $who would; root has no sudo here.
as_typed()
{
	local script
	script=$(mktemp /tmp/typed.XXXXXX)
	if [[ $who == root ]]; then sed 's/\<sudo //g'; else cat; fi >"$script"
	chmod 644 "$script"
	sed 's/^/+ /' "$script"
	runuser -u "$who" -- env -i HOME="$(home)" USER="$who" TERM=dumb LANG=C.UTF-8 \
		PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
		DEB_BUILD_OPTIONS=nocheck ${MAKEFLAGS:+MAKEFLAGS="$MAKEFLAGS"} \
		bash -e "$script"
}

readme() { block README.md "$1"; }

# Of a block's lines those that begin so.
line() { readme "$1" | grep "^$1"; }

# What is not the package manager's.
leftovers()
{
	find / -xdev -path '*kvpfs*' ! -path '*kvpfs von*' ! -path '/tmp/*'
	find /run/kvp* "$pool" -prune 2>/dev/null
	grep kvp /proc/mounts
	dpkg-query -W kvp kvpfs 2>/dev/null
	return 0
}

quickstart_mounts_and_is_undone_as_it_says()
{
	line contrib/quickstart.sh | as_typed | tee /tmp/told
	equal "$(stat -c %a /var/lib/hyperv)" 755
	equal "$(stat -c %a "$pool")" 644
	findmnt -no OPTIONS /run/kvp | grep allow_other
	line contrib/quickstart.sh | as_typed | tail -n 1
	sed -n '/ Try$/,/^To undo/s/^  //p' /tmp/told >/tmp/try
	[[ $(wc -l </tmp/try) -eq 4 ]]
	as_typed </tmp/try >/tmp/tried
	equal "$(grep -c '^hello$' /tmp/tried)" 2
	grep greeting$ /tmp/tried
	grep '^greeting=hello%0A$' /tmp/tried
	sed -n '/^To undo/,$s/^  //p' /tmp/told >/tmp/undo
	grep -v ^git /tmp/undo | as_typed
	rm -rf build
	equal "$(leftovers)" ''
}

tests_pass()
{
	line contrib/test.sh | as_typed
}

# Root's others run everywhere else.
unit_tests_pass()
{
	# shellcheck disable=SC2016 # for make
	line contrib/test.sh | MAKEFLAGS='TESTS=$$(unit_tests)' as_typed
}

# What differs from one machine, or one run, to the next.
without_chance()
{
	sed -E -e 's/^(.{10} 1) [^ ]+ +[^ ]+ +([0-9]+) [A-Z][a-z]{2} .* /\1 \2 /' \
		-e 's/^[^ ]*: line [0-9]+: /bash: /'
}

# The session's lines, each as it was typed, and what it shows.
session()
{
	local line
	readme '# echo hello >' | while IFS= read -r line; do
		[[ $line == '# '* ]] || continue
		printf "printf '%%s\\\\n' %q\n%s\n" "$line" "${line#\# }"
	done
}

installs_and_goes_as_the_session_says_and_uninstalls()
{
	local command=bash
	readme 'make install' | as_typed
	"/usr/local/bin/kvpfs" -V
	[[ -e /usr/local/share/man/man8/kvpfs.8 ]]
	(umask 022 && mkdir -p "${pool%/*}" && touch "$pool")
	session >/tmp/session
	[[ $who == root ]] || command='sudo bash'
	echo "$command /tmp/session" | as_typed 2>&1 | grep -v '^+' >/tmp/shown
	diff <(readme '# echo hello >' | without_chance) <(without_chance </tmp/shown)
	rm "$pool"
	{
		grep -q '^.sudo make uninstall. in that directory' README.md
		echo cd build/install
		echo sudo make uninstall
	} | as_typed
	equal "$(leftovers)" ''
}

# A later package, for the upgrade: this one with another number.
raise_version()
{
	local deb tree
	for deb in build/deb/kvp_*.deb build/deb/kvpfs_*.deb; do
		tree=$(mktemp -d)
		dpkg-deb -R "$deb" "$tree"
		sed -i 's/^Version: .*/Version: 99.0-1/' "$tree/DEBIAN/control"
		dpkg-deb --root-owner-group -Znone -b "$tree" "$deb"
	done
}

packages_are_built_installed_upgraded_and_purged()
{
	readme contrib/build-deb.sh | sed 's/apt-get/& -y/' | as_typed
	equal "$(dpkg-query -W -f '${Version}' kvpfs)" "$(contrib/version.sh)-1"
	equal "$(command -v kvpfs)" /usr/bin/kvpfs
	kvpfs -V
	raise_version
	line 'sudo apt-get install ./build/deb' | sed 's/apt-get/& -y/' | as_typed
	equal "$(dpkg-query -W -f '${Version}' kvp kvpfs)" 99.0-199.0-1
	kvpfs -V
	apt-get -q purge -y kvpfs kvp
	equal "$(leftovers)" ''
}

add_someone()
{
	{
		apt-get -q update && apt-get -q install -y --no-install-recommends sudo
	} >/tmp/output 2>&1 || {
		sed 's/^/# /' /tmp/output
		echo "not ok - apt-get"
		exit 1
	}
	useradd -m -s /bin/bash someone
	echo 'someone ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/someone
}

# Makes $1 the user of what follows.
become()
{
	who=$1
	[[ $who == root ]] || add_someone
	mkdir -p "$(home)/$place"
	tar -C "$(home)/$place" -xf /tmp/clone.tar
	chown -R "$who:" "$(home)/${place%%/*}"
}

readme_as_someone()
{
	become someone
	it quickstart_mounts_and_is_undone_as_it_says
	it installs_and_goes_as_the_session_says_and_uninstalls
	it unit_tests_pass
}

readme_as_root()
{
	become root
	it quickstart_mounts_and_is_undone_as_it_says
	it installs_and_goes_as_the_session_says_and_uninstalls
	become someone
	it packages_are_built_installed_upgraded_and_purged
}

all_tests()
{
	become "$1"
	it tests_pass
}

# inside WHAT...: one of the three above
inside()
{
	# shellcheck source=/dev/null
	. /tmp/blocks.sh
	export DEBIAN_FRONTEND=noninteractive
	"$@"
	exit $((failures > 0))
}

# == on the machine

# As on any machine: whatever rights the one of this machine has.
make_device()
{
	local name=$1 root=$2 number
	number=$(stat -c '0x%t 0x%T' "/dev/$name")
	# shellcheck disable=SC2086 # two words
	mknod -m 666 "$root/dev/$name" c $number && return
	touch "$root/dev/$name"
	mount --bind "/dev/$name" "$root/dev/$name"
}

# in_chroot TREE WHAT...: in namespaces of its own, whose end ends all that was started
# and mounted
in_chroot()
{
	local root=$1
	shift
	mount --bind "$root" "$root"
	mount -t proc proc "$root/proc"
	mount -t sysfs -o ro sys "$root/sys"
	mount -t tmpfs -o mode=755 dev "$root/dev"
	for name in null zero full random urandom tty fuse; do
		make_device "$name" "$root"
	done
	ln -s /proc/self/fd "$root/dev/fd"
	ln -s fd/0 "$root/dev/stdin"
	ln -s fd/1 "$root/dev/stdout"
	ln -s fd/2 "$root/dev/stderr"
	mkdir -m 1777 "$root/dev/shm"
	mkdir "$root/dev/pts"
	mount -t devpts -o newinstance,ptmxmode=666 devpts "$root/dev/pts"
	ln -s pts/ptmx "$root/dev/ptmx"
	mount -t tmpfs -o mode=755 run "$root/run"
	# not chroot(2): it takes user namespaces away from those in it
	cd "$root" && pivot_root . . && umount -l .
	exec env -i PATH="$PATH" LANG=C.UTF-8 bash /tmp/check inside "$@"
}

make_tree()
{
	local suite=$1 tree=$scratch/tree
	mkdir -p "$cache"
	debootstrap --variant=minbase "$suite" "$tree" \
		"${FRESH_MIRROR:-http://deb.debian.org/debian}" \
		>"$cache/$suite.log" 2>&1 || {
		tail -n 5 "$cache/$suite.log" | sed 's/^/# /'
		skip_all "debootstrap cannot make a $suite: no network?"
	}
	tar -C "$tree" -cf "$cache/$suite.tar.new" . &&
		mv "$cache/$suite.tar.new" "$cache/$suite.tar"
	rm -rf "$tree"
}

# start_machine WHAT...: a new one; what it prints is kept until it has ended
start_machine()
{
	local tree=$scratch/tree.${#machines[@]}
	mkdir "$tree"
	tar -C "$tree" -xf "$cache/$suite.tar"
	cp /etc/resolv.conf /etc/hosts "$tree/etc/"
	# nothing has to outlive it
	echo force-unsafe-io >"$tree/etc/dpkg/dpkg.cfg.d/scratch"
	cp "$self" "$tree/tmp/check"
	cp "$top/tests/blocks.sh" "$scratch/clone.tar" "$tree/tmp/"
	unshare -mpf --kill-child --mount-proc "$self" in_chroot "$tree" "$@" \
		>"$tree.out" 2>&1 &
	machines+=($!)
}

clean_up()
{
	if ((${#machines[@]})); then
		kill "${machines[@]}" 2>/dev/null
		wait
	fi
	rm -rf "$scratch"
}

case ${1-} in
inside | in_chroot) "$@" ;;
esac

suite=${1:-bookworm}
cache=${FRESH_CACHE:-$top/build/fresh}
((EUID == 0)) || skip_all "needs root"
[[ -c /dev/fuse ]] || skip_all "needs /dev/fuse"
type debootstrap >/dev/null 2>&1 || skip_all "needs debootstrap"
unshare -mpf true 2>/dev/null || skip_all "needs namespaces"
git -C "$top" rev-parse HEAD >/dev/null 2>&1 || skip_all "needs a clone"
machines=()
scratch=$(mktemp -d /var/tmp/kvpfs-fresh.XXXXXX)
trap clean_up EXIT
trap 'exit 1' HUP INT TERM
[[ -e $cache/$suite.tar ]] || make_tree "$suite"
git -C "$top" ls-files -z | (cd "$top" && tar -cf "$scratch/clone.tar" --null -T -)
if (($# == 0)); then
	start_machine readme_as_someone
	start_machine readme_as_root
else
	start_machine all_tests "${2:-root}"
fi
status=0
for machine in "${machines[@]}"; do
	wait "$machine" || status=1
done
machines=()
cat "$scratch"/tree.*.out
echo "1..$(cat "$scratch"/tree.*.out | grep -cE '^(not )?ok')"
exit $status
