#!/bin/sh
# SPDX-License-Identifier: MIT
#
# From a fresh clone to a mounted pool: installs what is missing, builds in
# build/quickstart, and mounts the machine's pool at /run/kvp. Makes an empty pool
# where there is none. Installs nothing of kvpfs itself; can be run again.
set -eu
cd "$(dirname "$0")/.."

pool=/var/lib/hyperv/.kvp_pool_1
mountpoint=/run/kvp

as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	else
		sudo "$@"
	fi
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

if findmnt -n -t fuse.kvpfs "$mountpoint" >/dev/null; then
	echo "$mountpoint is already mounted: 'umount $mountpoint' to mount anew"
	exit 0
fi
if ! as_root test -e "$pool"; then
	echo "making an empty pool: $pool"
	as_root mkdir -p "${pool%/*}"
	as_root sh -c "umask 022; : >>'$pool'" # 0644, as the daemon makes it
fi
as_root mkdir -p "$mountpoint"
as_root build/quickstart/src/kvpfs "$pool" "$mountpoint"
echo "mounted $pool at $mountpoint; try, as root:"
echo "  echo hello > $mountpoint/greeting; cat $mountpoint/greeting; ls -l $mountpoint"
