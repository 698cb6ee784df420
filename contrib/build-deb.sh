#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Makes Debian packages of this tree, in build/deb:
#
#	build-deb.sh [ARGUMENT...]	arguments for dpkg-buildpackage, such as -b
#
# The tree must be one where autoreconf has been run. "contrib/dependencies.sh
# packages" installs what is needed to build, contrib/debian/control names it.
set -eu
cd "$(dirname "$0")/.."
top=$PWD

version=$(dpkg-parsechangelog -l contrib/debian/changelog -S Version)
version=${version%-*}
rm -rf build/deb
mkdir -p build/deb/dist
(cd build/deb/dist && "$top/configure" -q && make -s dist-xz)
tarball=build/deb/kvpfs_$version.orig.tar.xz
cp "build/deb/dist/kvpfs-$version.tar.xz" "$tarball" || {
	echo "contrib/debian/changelog is about another version" >&2
	exit 1
}
tar -C build/deb -xf "$tarball"
cp -R contrib/debian "build/deb/kvpfs-$version/debian"
cd "build/deb/kvpfs-$version"
dpkg-buildpackage -us -uc "$@"
