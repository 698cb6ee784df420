#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The units under a real systemd: as the first process of a container whose /usr is
# this machine's, and which holds nothing else but what is tested. TAP on stdout.
#
#	systemd.sh BUILD_DIRECTORY
#
# Nothing on this machine is changed, and no service of its own is started. Where
# it cannot be done (not root, no systemd-nspawn, no /dev/fuse) it says so, and exits
# with 77. In the container, the same script is run by services, with other arguments.
#
# functions are called by name:
# shellcheck disable=SC2317
set -u
self=$(realpath "$0")
tests=${self%/*}

skip_all()
{
	echo "1..0 # SKIP $*"
	exit 77
}

# == in the container

number=0
failures=0

# This case cannot do what it should, for this reason.
skip()
{
	echo "$*"
	exit 77
}

it()
{
	local status
	number=$((number + 1))
	(set -e; "$1") >/run/output 2>&1
	status=$?
	if ((status == 0)); then
		echo "ok $number - $1"
		grep '^# figures: ' /run/output
	elif ((status == 77)); then
		echo "ok $number - $1 # SKIP $(tail -n 1 /run/output)"
	else
		failures=$((failures + 1))
		echo "not ok $number - $1"
		sed 's/^/# /' /run/output
		journalctl -q -o cat -n 20 -u 'kvpfs*' | sed 's/^/# log: /'
	fi
}

equal()
{
	[[ $1 == "$2" ]] || {
		printf 'got %q, expected %q\n' "$1" "$2"
		return 1
	}
}

# Bounded tries, for what happens behind a command that does not wait.
eventually()
{
	local try
	for ((try = 0; try < 3000; try++)); do
		! "$@" || return 0
		sleep 0.02
	done
	echo "never became true: $*"
	return 1
}

# For root, who has no sudo here.
readme() { block /README.md "$1" | sed 's/\<sudo //g'; }

property() { systemctl show --value -p "$1" "$2"; }
# whether it has this property, and the unit's state has settled
has() { [[ $(property "$1" "$2") == "$3" ]]; }
is_in() { [[ $(readlink "/proc/$1/cwd") == "$2" ]]; }
# what was written to the journal comes there a moment later
is_logged() { journalctl -q -u kvpfs | grep "$1"; }
kvpfs_mounts() { findmnt -rno FSTYPE "$1" | grep -cx fuse.kvpfs; }

is_inactive_without_mount()
{
	has ActiveState "$1" inactive
	has Result "$1" success
	[[ ! -e $2 ]]
}

after()
{
	local end start
	end=$(property ActiveEnterTimestampMonotonic "$1")
	start=$(property InactiveExitTimestampMonotonic "$2")
	echo "$1 was there at $end, $2 started at $start"
	((end > 0 && start >= end))
}

units_are_without_fault()
{
	local fault
	fault=$(systemd-analyze verify --man=no kvpfs.service kvpfs@external.service 2>&1)
	equal "$fault" ''
}

pools_names_alone_have_units()
{
	equal "$(cd /usr/local/lib/systemd/system && echo kvpfs*)" \
		"kvpfs.service kvpfs@auto-external.service kvpfs@auto-internal.service \
kvpfs@auto.service kvpfs@external.service kvpfs@guest.service"
	systemctl start kvpfs@other && return 1
	has LoadState kvpfs@other not-found
}

is_ordered_after_the_daemon_and_who_empties_pools()
{
	local name
	for name in hv-kvp-daemon hypervkvpd hv_kvp_daemon cloud-init-local azure-init; do
		[[ " $(property After kvpfs) " == *" $name.service "* ]]
	done
	after hv-kvp-daemon.service kvpfs.service
	after cloud-init-local.service kvpfs.service
}

# Somebody waits for the mount and writes at once; had kvpfs been earlier, this would
# have made last boot's pool look like this boot's.
cloud_init_has_emptied_the_stale_pool()
{
	equal "$(ls /run/kvp)" early
	equal "$(cat /run/kvp/early)" bird
}

mount_is_seen_by_all()
{
	equal "$(findmnt -N 1 -rno FSTYPE /run/kvp | tail -n 1)" fuse.kvpfs
	equal "$(readlink "/proc/$(property MainPID kvpfs)/ns/mnt")" \
		"$(readlink /proc/1/ns/mnt)"
}

mount_can_do_all_that_it_should()
{
	echo value >/run/kvp/key
	dd if=/run/kvp/key of=/run/kvp/copy conv=fsync status=none
	equal "$(grep -c = /run/kvp/.kvpfs/records)" 3
	mv /run/kvp/copy /run/kvp/moved
	(head -n 1 </run/kvp/.kvpfs/events >/run/event) &
	eventually told
	rm /run/kvp/moved
	wait
}

told()
{
	date +%N >/run/kvp/moved
	[[ -s /run/event ]]
}

# As the pool file's mode says: all may read, the owner may write.
other_users_may_what_the_pool_allows()
{
	local other='setpriv --reuid=12345 --clear-groups'
	equal "$($other cat /run/kvp/key)" value
	$other dd if=/dev/null of=/run/kvp/key && return 1
	equal "$(cat /run/kvp/key)" value
}

stop_unmounts()
{
	systemctl stop kvpfs
	is_inactive_without_mount kvpfs /run/kvp
}

start_returns_when_it_is_mounted()
{
	systemctl start kvpfs
	equal "$(cat /run/kvp/key)" value
	equal "$(kvpfs_mounts /run/kvp)" 1
}

is_busy_when_stopped_unmounts()
{
	(cd /run/kvp && exec sleep 1000) &
	eventually is_in $! /run/kvp
	systemctl stop kvpfs
	is_inactive_without_mount kvpfs /run/kvp
	kill $!
	systemctl start kvpfs
}

crash_is_repaired()
{
	local died back
	kill -KILL "$(property MainPID kvpfs)"
	eventually has NRestarts kvpfs 1
	eventually has ActiveState kvpfs active
	died=$(property InactiveEnterTimestampMonotonic kvpfs)
	back=$(property ActiveEnterTimestampMonotonic kvpfs)
	echo "# figures: restarted within $(((back - died) / 1000)) ms"
	equal "$(cat /run/kvp/key)" value
	equal "$(kvpfs_mounts /run/kvp)" 1
}

unmounting_by_hand_ends_it()
{
	umount /run/kvp
	eventually has ActiveState kvpfs inactive
	is_inactive_without_mount kvpfs /run/kvp
}

# A writer that does not stop: each of its successes must be in the pool file.
writer()
{
	exec python3 -c '
import os, signal
goes_on = True
def end(*_):
    global goes_on
    goes_on = False
signal.signal(signal.SIGTERM, end)
number = successes = failures = 0
wrong = []
with open("/var/lib/hyperv/.kvp_pool_1", "rb") as pool:
    while goes_on:
        number += 1
        value = b"value %d;" % number
        try:
            with open("/run/kvp/written", "wb", buffering=0) as file:
                file.write(value)
        except OSError:
            failures += 1
            continue
        successes += 1
        pool.seek(0)
        if value not in pool.read():
            wrong.append(number)
print("# figures: written", successes, "refused", failures, "lost", wrong[:9])
assert successes and failures and not wrong'
}

nothing_is_ever_written_beside_the_pool()
{
	local round writer
	systemctl start kvpfs
	writer &
	writer=$!
	for round in 1 2 3; do
		kill -KILL "$(property MainPID kvpfs)"
		eventually has NRestarts kvpfs "$round"
		eventually has ActiveState kvpfs active
	done
	systemctl restart kvpfs         # as an upgrade does
	umount -l /run/kvp
	eventually has ActiveState kvpfs inactive
	systemctl start kvpfs
	systemctl kill kvpfs
	eventually has ActiveState kvpfs inactive
	systemctl start kvpfs
	systemctl stop kvpfs
	kill "$writer"
	wait "$writer" || return
	[[ ! -e /run/kvp ]]
	systemctl reset-failed kvpfs
}

# Somebody made the directory, and left something there.
what_lies_there_is_hidden_and_told_of()
{
	mkdir /run/kvp
	touch /run/kvp/left
	systemctl start kvpfs
	eventually is_logged 'is not empty'
	equal "$(cat /run/kvp/key)" value
	systemctl stop kvpfs
	equal "$(ls /run/kvp)" left
	rm -r /run/kvp
}

what_else_is_mounted_there_stays()
{
	mkdir /run/kvp
	mount -t tmpfs other /run/kvp
	systemctl start kvpfs
	has ActiveState kvpfs inactive
	systemctl stop kvpfs
	equal "$(findmnt -rno SOURCE /run/kvp)" other
	umount /run/kvp
	rmdir /run/kvp
}

failure_is_reported_and_leaves_nothing()
{
	mkdir -p /run/systemd/system/kvpfs.service.d
	printf '[Service]\nEnvironment="OPTIONS=-o mode=half"\nRestart=no\n' \
		>/run/systemd/system/kvpfs.service.d/wrong.conf
	systemctl daemon-reload
	systemctl start kvpfs && return 1
	has Result kvpfs exit-code
	[[ ! -e /run/kvp ]]
	eventually is_logged half
	rm /run/systemd/system/kvpfs.service.d/wrong.conf
	systemctl daemon-reload
	systemctl reset-failed kvpfs
}

options_are_the_administrators()
{
	mkdir -p /run/systemd/system/kvpfs.service.d
	readme OPTIONS= | sed 's/allow_other,/ro,umask=077 -o &/' \
		>/run/systemd/system/kvpfs.service.d/options.conf
	systemctl daemon-reload
	systemctl start kvpfs
	findmnt -rno OPTIONS /run/kvp | grep -w ro
	grep -x mode=full /run/kvp/.kvpfs/status
	systemctl stop kvpfs
	rm /run/systemd/system/kvpfs.service.d/options.conf
	systemctl daemon-reload
}

other_pools_have_units_too()
{
	systemctl start kvpfs@external kvpfs@auto-external
	equal "$(ls /run/kvp-external)" from-host
	equal "$(cat /run/kvp-auto-external/HostName)" tower
	kill -KILL "$(property MainPID kvpfs@external)"
	eventually has NRestarts kvpfs@external 1
	eventually has ActiveState kvpfs@external active
	equal "$(ls /run/kvp-external)" from-host
	systemctl stop 'kvpfs@*'
	is_inactive_without_mount kvpfs@external /run/kvp-external
	is_inactive_without_mount kvpfs@auto-external /run/kvp-auto-external
}

# As contrib/examples has it, but for what would end the container.
path_unit_reacts_to_the_host()
{
	local n
	mkdir -p /run/fake /run/systemd/system/kvp-reboot-request.service.d
	cp /examples/kvp-reboot-request.* /run/systemd/system
	printf '#!/bin/sh\necho "$@" >>/run/fake/asked\n' >/run/fake/systemctl
	chmod +x /run/fake/systemctl
	printf '[Service]\nEnvironment=PATH=/run/fake:/usr/bin\n' \
		>/run/systemd/system/kvp-reboot-request.service.d/fake.conf
	systemctl daemon-reload
	systemctl start kvpfs@external kvp-reboot-request.path
	for ((n = 0; n < 7; n++)); do   # more often than units may be started
		: >/run/fake/asked
		eventually sets_and_is_told
	done
	equal "$(sort -u /run/fake/asked)" '--no-block reboot'
	kvp -p external rm reboot-request
	eventually has ActiveState kvp-reboot-request.service inactive
	equal "$(property Result kvp-reboot-request.path)" success
	# the key may come back, and so may the mount
	: >/run/fake/asked
	eventually sets_and_is_told
	systemctl stop kvpfs@external
	eventually has ActiveState kvp-reboot-request.path inactive
	systemctl start kvpfs@external kvp-reboot-request.path
	: >/run/fake/asked
	eventually sets_and_is_told
	kvp -p external rm reboot-request
	systemctl stop kvpfs@external
	rm -r /run/fake /run/systemd/system/kvp-reboot-request.*
	systemctl daemon-reload
}

# It reacts to a value, whichever the last one was; once or twice, and to nothing that is
# set while it looks.
sets_and_is_told()
{
	kvp -p external set reboot-request later
	kvp -p external set reboot-request now
	sleep 0.1
	[[ -s /run/fake/asked ]]
}

inotifywait_in_a_loop_reacts_to_the_host()
{
	type inotifywait || skip 'needs inotifywait'
	systemctl start kvpfs@external
	systemd-run -q --unit follow -p StandardOutput=append:/run/followed \
		/examples/kvp-follow /run/kvp-external echo
	eventually follows
	kvp -p external set wish 'come true'
	eventually grep -x 'set wish come true' /run/followed
	kvp -p external rm wish
	eventually grep -x 'delete wish ' /run/followed
	systemctl stop follow kvpfs@external
}

follows()
{
	kvp -p external set wish "$(date +%N)"
	grep 'set wish' /run/followed
}

missing_pool_is_empty()
{
	systemctl start kvpfs@auto
	equal "$(ls /run/kvp-auto)" ''
	systemctl stop kvpfs@auto
}

line_in_fstab_is_mounted_in_the_same_order()
{
	after cloud-init-local.service mnt-kvp.mount
	equal "$(findmnt -rno FSTYPE /mnt/kvp)" fuse.kvpfs
	equal "$(cat /mnt/kvp/key)" value
}

# The line is mounted no second time, and its directory takes no files.
directory_of_a_line_in_fstab_takes_no_files()
{
	mount -a
	equal "$(kvpfs_mounts /mnt/kvp)" 1
	umount /mnt/kvp
	readme chattr >/run/commands
	bash -e /run/commands
	! touch /mnt/kvp/file || return 1
	mount /mnt/kvp
	equal "$(cat /mnt/kvp/key)" value
	umount /mnt/kvp
	chattr -i /mnt/kvp
}

services_are_enabled_as_the_readme_says()
{
	systemctl disable --now kvpfs
	readme 'systemctl enable' >/run/commands
	bash -e /run/commands | grep 'Mounts\|Started\|kvpfs'
	has ActiveState kvpfs active
	equal "$(cat /run/kvp-external/from-host)" 1
	systemctl disable --now kvpfs@external
	systemctl stop kvpfs
}

other_machines_do_without()
{
	rm /etc/systemd/system/kvpfs@guest.service.d/here.conf
	systemctl daemon-reload
	systemctl start kvpfs@guest
	has ActiveState kvpfs@guest inactive
	equal "$(property ConditionResult kvpfs@guest)" no
}

inside()
{
	systemctl is-system-running --wait >/dev/null
	for name in \
		units_are_without_fault \
		pools_names_alone_have_units \
		is_ordered_after_the_daemon_and_who_empties_pools \
		cloud_init_has_emptied_the_stale_pool \
		mount_is_seen_by_all \
		mount_can_do_all_that_it_should \
		other_users_may_what_the_pool_allows \
		stop_unmounts \
		start_returns_when_it_is_mounted \
		is_busy_when_stopped_unmounts \
		crash_is_repaired \
		unmounting_by_hand_ends_it \
		nothing_is_ever_written_beside_the_pool \
		what_lies_there_is_hidden_and_told_of \
		what_else_is_mounted_there_stays \
		failure_is_reported_and_leaves_nothing \
		options_are_the_administrators \
		other_pools_have_units_too \
		path_unit_reacts_to_the_host \
		inotifywait_in_a_loop_reacts_to_the_host \
		missing_pool_is_empty \
		line_in_fstab_is_mounted_in_the_same_order \
		directory_of_a_line_in_fstab_takes_no_files \
		services_are_enabled_as_the_readme_says \
		other_machines_do_without; do
		it "$name"
	done
	systemd-analyze security --no-pager kvpfs.service | tail -n 1 | sed 's/^/# /'
	echo "1..$number"
	exit $((failures > 0))
}

# What cloud-init's handler does.
empty_if_stale()
{
	local boot pool=/var/lib/hyperv/.kvp_pool_1
	boot=$(sed -n 's/^btime //p' /proc/stat)
	sleep 2
	(($(stat -c %Y "$pool") >= boot)) || : >"$pool"
	exit
}

# == on the machine

unit() { cat >"$scratch/units/$1.service"; }

# The container is no Hyper-V guest: all conditions but this one. Emptying one
# empties all.
leave_virtualization_out()
{
	local name=$1.service
	mkdir "$scratch/units/$name.d"
	{
		printf '[Unit]\nConditionVirtualization=\n'
		grep '^Condition' "$stage/usr/local/lib/systemd/system/$name" |
			grep -v '^ConditionVirtualization=microsoft$'
	} >"$scratch/units/$name.d/here.conf"
}

# They take their time, so that a wrong order shows. sysinit.target does not wait
# for this cloud-init, as on Fedora.
make_units()
{
	local name wants=$scratch/units/multi-user.target.wants
	unit hv-kvp-daemon <<-EOF
		[Service]
		Type=oneshot
		RemainAfterExit=yes
		ExecStart=sleep 1
	EOF
	unit cloud-init-local <<-EOF
		[Service]
		Type=oneshot
		RemainAfterExit=yes
		ExecStart=/check empty_if_stale
	EOF
	unit early <<-EOF
		[Unit]
		After=kvpfs.service
		[Service]
		Type=oneshot
		ExecStart=sh -c 'printf bird >/run/kvp/early'
	EOF
	unit check <<-EOF
		[Unit]
		After=early.service
		[Service]
		ExecStart=/check inside
		ExecStopPost=systemctl --no-block exit \$EXIT_STATUS
		StandardOutput=append:/results/tap
		StandardError=append:/results/errors
	EOF
	mkdir "$wants"
	for name in kvpfs hv-kvp-daemon cloud-init-local early check; do
		ln -s "../$name.service" "$wants/$name.service"
	done
	for name in systemd-logind.service dbus.socket dbus.service getty.target; do
		ln -s /dev/null "$scratch/units/$name"
	done
	for name in kvpfs kvpfs@{auto,auto-external,external,guest}; do
		leave_virtualization_out "$name"
	done
}

# Last written long ago.
make_pools()
{
	local python=("$PYTHON" -B "$tests/mount/pool.py" build)
	"${python[@]}" "$scratch/pools/.kvp_pool_0" from-host=1
	"${python[@]}" "$scratch/pools/.kvp_pool_1" last-boot=1
	"${python[@]}" "$scratch/pools/.kvp_pool_3" HostName=tower
	touch -d @0 "$scratch"/pools/.kvp_pool_*
	chmod 644 "$scratch"/pools/.kvp_pool_*
}

boot()
{
	local keep=()
	# without a service manager there is nobody to ask for a unit
	[[ -d /run/systemd/system ]] || keep=(--keep-unit)
	timeout -k 5 300 systemd-nspawn -q --register=no "${keep[@]}" \
		-D / --volatile=yes --private-network --bind=/dev/fuse \
		--bind-ro="$stage/usr/local:/usr/local" --bind-ro="$self:/check" \
		--bind-ro="$scratch/fstab:/etc/fstab" \
		--bind-ro="$(realpath "$tests/../README.md"):/README.md" \
		--bind-ro="$(realpath "$tests/../contrib/examples"):/examples" \
		--bind-ro="$tests/blocks.sh:/blocks.sh" \
		--bind-ro="$scratch/machine-id:/etc/machine-id" \
		--bind="$scratch/units:/etc/systemd/system" \
		--bind="$scratch/pools:/var/lib/hyperv" \
		--bind="$scratch/results:/results" \
		-b systemd.unit=multi-user.target \
		</dev/null >"$scratch/console" 2>&1
}

case ${1-} in
inside)
	# shellcheck source=/dev/null
	. /blocks.sh
	inside
	;;
empty_if_stale) empty_if_stale ;;
esac

build=${1:-$tests/../build/dev}
PYTHON=${PYTHON:-$(PATH=/usr/bin:$PATH command -v python3)}
((EUID == 0)) || skip_all "needs root"
[[ -c /dev/fuse ]] || skip_all "needs /dev/fuse"
type systemd-nspawn findmnt setpriv >/dev/null 2>&1 || skip_all "needs systemd-nspawn"
[[ -L /lib && -x /lib/systemd/systemd ]] || skip_all "needs systemd in a merged /usr"

scratch=$(mktemp -d "${TMPDIR:-/tmp}/kvpfs-systemd.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
trap 'exit 1' HUP INT TERM
stage=$scratch/stage
mkdir "$scratch"/{units,pools,results}
make -s -C "$build" install DESTDIR="$stage" >"$scratch/install" 2>&1 || {
	cat "$scratch/install"
	exit 1
}
make_units
make_pools
# shellcheck source=/dev/null
. "$tests/blocks.sh"
block "$tests/../README.md" fuse.kvpfs >"$scratch/fstab"
# without one, all services of this machine would be enabled
echo 0123456789abcdef0123456789abcdef >"$scratch/machine-id"
boot
status=$?
if [[ ! -s $scratch/results/tap ]]; then
	tail -n 20 "$scratch/console" | sed 's/^/# /'
	skip_all "systemd does not start in a container here"
fi
cat "$scratch/results/tap"
sed 's/^/# /' "$scratch/results/errors"
exit "$status"
