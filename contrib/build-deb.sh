#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Makes Debian packages of this tree, in build/deb:
#
#	build-deb.sh [ARGUMENT...]	arguments for dpkg-buildpackage, such as -b
#
# "contrib/dependencies.sh packages" installs what is needed, contrib/debian/control
# names it. contrib/version.sh says which version it will be.
set -eu
cd "$(dirname "$0")/.."
top=$PWD

# dpkg's flags for the compiler cannot cope with a space in the path.
scratch=$(mktemp -d "${TMPDIR:-/tmp}/kvpfs-deb.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
trap 'exit 1' HUP INT TERM

changelog() {
	date=$(date -R -u -d "@$(contrib/version.sh date)")
	cat <<-EOT
	kvpfs ($version-1) unstable; urgency=medium

	  * See /usr/share/doc/kvpfs/changelog.gz.

	 -- The kvpfs authors <kvpfs@example.org>  $date
	EOT
}

autoreconf -fi
rm -rf build/deb
mkdir -p build/deb/dist
(cd build/deb/dist && ../../../configure -q && make -s dist-xz)
version=$(contrib/version.sh)
cp "build/deb/dist/kvpfs-$version.tar.xz" "$scratch/kvpfs_$version.orig.tar.xz"
tar -C "$scratch" -xf "$scratch/kvpfs_$version.orig.tar.xz"
cp -R contrib/debian "$scratch/kvpfs-$version/debian"
changelog >"$scratch/kvpfs-$version/debian/changelog"
(cd "$scratch/kvpfs-$version" && dpkg-buildpackage -us -uc "$@")
rm -rf "$scratch/kvpfs-$version"
cp "$scratch"/* build/deb/
echo "the packages are in $top/build/deb"
