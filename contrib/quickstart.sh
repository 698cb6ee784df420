#!/bin/sh
# SPDX-License-Identifier: MIT
#
# From a fresh clone to a mounted pool: installs what is missing, builds in
# build/quickstart, and mounts pool 1 of the machine, guest, at /run/kvp, as the service
# does. Makes an empty pool where there is none. Installs nothing of kvpfs itself, can be
# run again, and says how to undo what it did.
set -eu
cd "$(dirname "$0")/.."

pool=/var/lib/hyperv/.kvp_pool_1
mountpoint=/run/kvp
sudo=
[ "$(id -u)" -eq 0 ] || sudo=sudo
to_undo=

# What the reader may type, from this directory.
tell() {
	cat <<-EOT
	Pool 1 (guest), $pool, is mounted at $mountpoint. Try
	  echo hello | ${sudo:+$sudo }tee $mountpoint/greeting
	  cat $mountpoint/greeting
	  ls -l $mountpoint
	or, without the mount,
	  build/quickstart/src/kvp entries
	To undo all this:
	  ${sudo:+$sudo }contrib/mountpoint down $mountpoint
	EOT
	printf '%s' "$to_undo"
	echo "  git clean -fdX"
}

make_pool() {
	echo "making an empty pool: $pool"
	# as the KVP daemon makes it, whatever this user's umask is
	# shellcheck disable=SC2016 # for that shell
	$sudo sh -c 'umask 022; mkdir -p "${1%/*}"; : >>"$1"' sh "$pool"
	to_undo="  ${sudo:+$sudo }rm $pool
"
}

mount_pool() {
	# what a kvpfs that was killed has left
	! grep -q " $mountpoint fuse.kvpfs " /proc/mounts ||
		$sudo contrib/mountpoint down "$mountpoint"
	$sudo contrib/mountpoint up "$mountpoint"
	$sudo build/quickstart/src/kvpfs -o allow_other "$pool" "$mountpoint"
}

contrib/dependencies.sh build

echo "building kvpfs in build/quickstart"
[ -x configure ] || autoreconf -fi
mkdir -p build/quickstart
(
	cd build/quickstart
	[ -f Makefile ] || ../../configure -q
	make -s
)
$sudo test -e "$pool" || make_pool
$sudo test -d "$mountpoint/.kvpfs" || mount_pool
tell
