#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Installs what is missing of the packages that kvpfs needs:
#
#	dependencies.sh build		to build and mount
#	dependencies.sh test		the same, and to run the tests
#	dependencies.sh all		the same, with every compiler and checker
#	dependencies.sh packages	to build, and to make packages of it
#	dependencies.sh i386|arm64|s390x DIR	to build for that architecture; its
#					libraries are only unpacked, in DIR
#
# with apt (Debian, Ubuntu) or, but for the last, dnf (Fedora, Azure Linux, RHEL).
# Does nothing, and needs no rights, where nothing is missing.
set -eu

build_apt='gcc make autoconf automake pkgconf libc6-dev libfuse3-dev fuse3
	libunistring-dev libjansson-dev'
test_apt='libcunit1-dev bash dash python3 python3-requests python3-yaml
	util-linux mount ed vim rsync diffutils findutils apt dpkg perl-base
	busybox strace zsh fish inotify-tools xz-utils procps sed tar cpio
	libarchive-tools mandoc groff-base'
all_apt='clang clang-tidy cppcheck shellcheck valgrind codespell
	libclang-rt-14-dev|libclang-rt-dev gdb systemd-container debootstrap
	rust-coreutils lintian rpm rpmlint apparmor'
# Not for every distribution and machine; what it is for is skipped without it.
extra_apt=hyperv-daemons
extra_dnf='hypervkvpd zsh fish debootstrap inotify-tools'
packages_apt='build-essential debhelper libcunit1-dev python3 systemd-dev|systemd'
packages_dnf=rpm-build
build_dnf='gcc make autoconf automake pkgconf-pkg-config fuse3-devel fuse3
	libunistring-devel jansson-devel'
test_dnf='CUnit-devel bash dash python3 python3-requests python3-pyyaml
	util-linux ed vim-enhanced rsync diffutils findutils perl-base busybox
	strace xz procps-ng sed tar cpio bsdtar mandoc groff-base'
all_dnf='clang clang-tools-extra cppcheck ShellCheck valgrind codespell
	compiler-rt libasan libubsan libtsan systemd-container rpmlint'
i386_apt='gcc-i686-linux-gnu libc6-dev-i386-cross'
arm64_apt='gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user'
s390x_apt='gcc-s390x-linux-gnu libc6-dev-s390x-cross qemu-user'
# These alone, as static libraries need no others.
unpacked_apt='libfuse3-dev libunistring-dev libjansson-dev libcunit1-dev'

case $#:${1-} in
1:build | 1:test | 1:all | 1:packages | 2:i386 | 2:arm64 | 2:s390x) ;;
*)
	echo "usage: dependencies.sh build|test|all|packages" >&2
	echo "       dependencies.sh i386|arm64|s390x DIR" >&2
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

foreign_apt() {
	apt-get -qq -o "APT::Architecture=$arch" -o APT::Sandbox::User=root \
		-o "Dir::State=$dir/apt" -o Dir::State::status=/dev/null \
		-o "Dir::Cache=$dir/apt" "$@"
}

# To install libraries of architecture $1 it would have to be added for good, upon
# which apt-get update fails wherever a mirror lacks something of it.
unpack_apt() {
	arch=$1
	dir=$2
	[ ! -d "$dir/usr" ] || return 0
	mkdir -p "$dir/apt/lists/partial" "$dir/apt/archives/partial"
	cd "$dir"
	foreign_apt update || echo "going on with what there is" >&2
	# shellcheck disable=SC2086
	foreign_apt download $unpacked_apt
	for package in *.deb; do
		dpkg -x "$package" unpacked
	done
	mv unpacked/usr .
}

case $1 in
test | all) ;;
*) extra_apt='' extra_dnf='' ;;
esac
case $1 in
test) build_apt="$build_apt $test_apt" build_dnf="$build_dnf $test_dnf" ;;
all)
	build_apt="$build_apt $test_apt $all_apt"
	build_dnf="$build_dnf $test_dnf $all_dnf"
	;;
packages)
	build_apt="$build_apt $packages_apt"
	build_dnf="$build_dnf $packages_dnf"
	;;
esac
if [ $# -eq 2 ]; then
	command -v apt-get >/dev/null || { echo "no apt-get" >&2; exit 1; }
	case $1 in
	i386) install_apt "$i386_apt" "" ;;
	arm64) install_apt "$arm64_apt" "" ;;
	s390x) install_apt "$s390x_apt" "" ;;
	esac
	unpack_apt "$1" "$2"
elif command -v apt-get >/dev/null; then
	install_apt "$build_apt" "$extra_apt"
elif command -v dnf >/dev/null; then
	install_dnf "$build_dnf" "$extra_dnf"
else
	echo "neither apt-get nor dnf is here: please install by hand:" >&2
	echo "a C compiler, make, autoconf, automake, pkgconf, libfuse3," \
		"libunistring, jansson; for the tests also CUnit (see HACKING.md)" >&2
fi
