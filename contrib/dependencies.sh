#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Installs what is missing of the packages that kvpfs needs:
#
#	dependencies.sh build		to build and mount
#	dependencies.sh test		the same, and to run every test
#	dependencies.sh packages	to build packages and check them
#
# with apt (Debian, Ubuntu) or dnf (Fedora, Azure Linux, RHEL). Does nothing, and
# needs no rights, where nothing is missing.
set -eu

build_apt='gcc make autoconf automake pkg-config libc6-dev libfuse3-dev fuse3
	libunistring-dev'
test_apt='libcunit1-dev bash dash python3 python3-requests python3-yaml
	util-linux mount ed vim rsync diffutils findutils apt dpkg perl-base
	busybox strace
	clang clang-tidy cppcheck shellcheck valgrind codespell
	libclang-rt-14-dev|libclang-rt-dev gdb xz-utils procps sed tar
	mandoc groff-base systemd-container'
# Not for every distribution and machine; what it is for is skipped without it.
extra_apt=hyperv-daemons
extra_dnf=hypervkvpd
packages_apt='debhelper lintian rpm rpmlint apparmor'
packages_dnf='rpm-build rpmlint'
build_dnf='gcc make autoconf automake pkgconf-pkg-config fuse3-devel fuse3
	libunistring-devel'
test_dnf='CUnit-devel bash dash python3 python3-requests python3-pyyaml
	util-linux ed vim-enhanced rsync diffutils findutils perl-base busybox
	strace
	clang clang-tools-extra cppcheck ShellCheck valgrind codespell
	compiler-rt xz procps-ng sed tar libasan libubsan libtsan mandoc
	groff-base systemd-container'

case ${1-} in
build | test | packages) ;;
*)
	echo "usage: dependencies.sh build|test|packages" >&2
	exit 2
	;;
esac

as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	else
		sudo "$@"
	fi
}

# Whether Debian's package $1 is there.
have_apt() {
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

have_dnf() {
	rpm -q --quiet --whatprovides "$1"
}

# Prints those of the arguments that $1 says are missing; "a|b": either will do.
missing() {
	have=$1
	shift
	for choice; do
		found=
		for package in $(echo "$choice" | tr '|' ' '); do
			if "$have" "$package"; then
				found=yes
			fi
		done
		[ -n "$found" ] || echo "$choice"
	done
}

# The first of "a|b" that apt can install.
choose_apt() {
	for choice; do
		for package in $(echo "$choice" | tr '|' ' '); do
			if apt-cache show "$package" >/dev/null 2>&1; then
				echo "$package"
				break
			fi
		done
	done
}

# Package names hold no white space: the word splitting below is wanted. $2 are
# installed where apt knows them.
# shellcheck disable=SC2046,SC2086
install_apt() {
	lacking=$(missing have_apt $1 $(choose_apt $2))
	[ -n "$lacking" ] || return 0
	echo "installing:" $lacking
	as_root apt-get -q update
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -q install -y \
		--no-install-recommends $(choose_apt $lacking $2)
}

# shellcheck disable=SC2086
install_dnf() {
	lacking=$(missing have_dnf $1)
	if [ -n "$lacking" ]; then
		echo "installing:" $lacking
		as_root dnf -q -y install $lacking
	fi
	for package in $2; do
		have_dnf "$package" || as_root dnf -q -y install "$package" ||
			echo "without $package some tests are skipped"
	done
}

[ "$1" = test ] || extra_apt='' extra_dnf=''
if command -v apt-get >/dev/null; then
	[ "$1" != test ] || build_apt="$build_apt $test_apt"
	[ "$1" != packages ] || build_apt="$build_apt $packages_apt"
	install_apt "$build_apt" "$extra_apt"
elif command -v dnf >/dev/null; then
	[ "$1" != test ] || build_dnf="$build_dnf $test_dnf"
	[ "$1" != packages ] || build_dnf="$build_dnf $packages_dnf"
	install_dnf "$build_dnf" "$extra_dnf"
else
	echo "neither apt-get nor dnf is here: please install by hand:" >&2
	echo "a C compiler, make, autoconf, automake, pkg-config, libfuse3," \
		"libunistring; for the tests also CUnit (see HACKING.md)" >&2
fi
