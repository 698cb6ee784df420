#!/bin/bash
# SPDX-License-Identifier: MIT
#
# The program itself: its options and exit statuses, what it refuses to mount and
# how it says so, daemon mode, signals and unmounting, mount(8) and fstab, the
# default pool, its log, and readiness told to the service manager.

# mount(8) finds the program, and the default pool lies, in fixed places: those
# are laid out in a mount namespace of our own, and the system stays as it is.
if [[ -z ${KVPFS_UNSHARED-} ]] && ((EUID == 0)) && unshare -m true 2>/dev/null; then
	KVPFS_UNSHARED=1 exec unshare -m "$BASH" "$0" "$@"
fi
# As long as there is a copy of it here, a mount that others unmount goes on.
[[ -z ${KVPFS_UNSHARED-} ]] || umount -a -l -t fuse.kvpfs 2>/dev/null

# shellcheck source=lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"

# Runs a command with a limit; `status`, out and err tell how it ended.
run()
{
	status=0
	timeout -k 60 120 "$@" >out 2>err </dev/null || status=$?
}

# The program ends with this status and one line on stderr that has this text;
# nothing is mounted.
refuses_to_mount()
{
	local wanted=$1 text=$2
	shift 2
	run "$KVPFS" "$@"
	cat err
	equal "$status" "$wanted"
	equal "$(wc -l <err)" 1
	grep -qF -- "$text" err
	is_gone "$MNT"
	equal "$(<out)" ''
}

unmount()
{
	fusermount3 -u "$MNT"
	is_gone "$MNT"
}

# An agent may just be in the mount, for others have changed the pool.
unmount_behind_others()
{
	eventually fusermount3 -u "$1"
	is_gone "$1"
}

all_daemons_ended() { equal "$(daemons_of "$1")" ''; }

# Help and usage

help_goes_to_stdout_and_names_every_option()
{
	local option
	run "$KVPFS" -h
	equal "$status" 0
	equal "$(<err)" ''
	for option in MOUNTPOINT mode= truncate_on_stale ro lock_timeout= newline= uid= \
		gid= umask= allow_other -f -d -s -h -V; do
		grep -qF -- "$option" out || equal "help without" "$option"
	done
}
options=none it help_goes_to_stdout_and_names_every_option

version_goes_to_stdout()
{
	run "$KVPFS" -V
	equal "$status" 0
	equal "$(<err)" ''
	grep -qE '^kvpfs .*[0-9]+\.[0-9]+' out
}
options=none it version_goes_to_stdout

wrong_number_of_arguments_is_a_usage_error()
{
	run "$KVPFS"
	equal "$status" 2
	[[ -s err && ! -s out ]]
	run "$KVPFS" "$POOL" "$MNT" extra
	equal "$status" 2
	[[ -s err && ! -s out ]]
	is_gone "$MNT"
}
options=none it wrong_number_of_arguments_is_a_usage_error

missing_mountpoint_is_told_in_words()
{
	local word
	for word in guest 0 "$POOL"; do
		run "$KVPFS" "$word"
		equal "$status" 2
		grep -F "no mountpoint given for pool \"$word\"" err
		equal "$(wc -l <err)" 1
	done
	refuses_to_mount 1 missing missing
}
options=none it missing_mountpoint_is_told_in_words

remounting_is_refused_and_told_what_to_do()
{
	refuses_to_mount 1 'unmount it, and mount it' -o remount,ro "$POOL" "$MNT"
}
options=none it remounting_is_refused_and_told_what_to_do

unknown_option_is_refused_by_name()
{
	is_refused()
	{
		local named=$1
		shift
		refuses_to_mount 1 "$named" "$@" "$POOL" "$MNT"
		equal "$(<err)" "kvpfs: unknown option: $named; see kvpfs -h"
	}
	is_refused '-o nosuch' -o nosuch
	is_refused '-o nosuch' -f -o debug,nosuch
	is_refused '-o nosuch=1' -o ro,nosuch=1
	is_refused '-o nosuch,none' -o ,nosuch,allow_other, -o none
	is_refused '-o none --nosuch' --nosuch -o none
	is_refused -Z -Z
	refuses_to_mount 1 nosuch "$POOL" "$MNT" -o nosuch
}
options=none it unknown_option_is_refused_by_name

empty_option_is_none()
{
	start -o '' -o ,ro,,nodev, -o , "$POOL" "$MNT"
	equal "$(cat "$MNT/k")" v
	grep -q " $MNT ro,.*nodev" /proc/self/mountinfo
	stop
}
options=none it empty_option_is_none k=v

stale_pool_is_not_emptied_for_a_refused_mount()
{
	local option
	touch -d '2000-01-01' "$POOL"
	for option in nosuch mode=other fsname=; do
		refuses_to_mount 1 "${option%=*}" -o "truncate_on_stale,$option" \
			"$POOL" "$MNT"
	done
	refuses_to_mount 1 'it would hide pool' -o truncate_on_stale "$POOL" "$scratch"
	mkdir -p pools/.kvp_pool_1
	cp -p "$POOL" pools/.kvp_pool_0
	refuses_to_mount 1 'Is a directory' -o truncate_on_stale pools "$MNT"
	cmp "$POOL" pools/.kvp_pool_0
	pool_is k=v
}
options=none it stale_pool_is_not_emptied_for_a_refused_mount k=v

bad_value_is_refused_by_name()
{
	local option
	for option in fsname= subtype= mode=other mode= newline=other newline= \
		lock_timeout= lock_timeout=x lock_timeout=1x lock_timeout=-1 \
		lock_timeout=nan lock_timeout=inf lock_timeout=1e999 lock_timeout=0x1 \
		'lock_timeout= 1' lock_timeout=+1 lock_timeout=1.2.3 'gid= 1' gid=+1 \
		'uid= -18446744073709551615' uid=0x1 'umask= 7' umask=+7 \
		uid=x uid= uid=-1 uid=99999999999 gid=1x gid=4294967296 \
		umask=8 umask=x umask= umask=-1 umask=7777777; do
		refuses_to_mount 1 "${option%%=*}" -o "$option" "$POOL" "$MNT"
	done
}
options=none it bad_value_is_refused_by_name

missing_value_is_refused_by_name()
{
	local option
	for option in mode newline lock_timeout uid gid umask; do
		refuses_to_mount 1 "option needs a value: -o $option=" \
			-o "ro,$option" "$POOL" "$MNT"
	done
}
options=none it missing_value_is_refused_by_name

good_values_are_taken()
{
	start -s -o mode=full,newline=keep,lock_timeout=0.5,uid=1,gid=2,umask=022 \
		-o truncate_on_stale,fsname=name "$POOL" "$MNT"
	equal "$(cat "$MNT/k")" v
	grep -q " $MNT .* name " /proc/self/mountinfo
	stop
	start "$POOL" "$MNT" -o ro -o mode=restricted -d
	equal "$(cat "$MNT/k")" v
	stop
}
options=none it good_values_are_taken k=v

# Pools and mountpoints that cannot be

unusable_pool_is_refused_by_name()
{
	mkfifo fifo
	truncate -s $(((1 << 30) + 1)) huge
	ln -s loop loop
	local pool
	for pool in fifo /dev/null huge loop pool/under-a-file; do
		refuses_to_mount 1 "$pool" "$pool" "$MNT"
		refuses_to_mount 1 "$pool" -f "$pool" "$MNT"
	done
}
options=none it unusable_pool_is_refused_by_name

unreadable_pool_is_refused()
{
	needs_root
	needs setpriv
	chmod 600 "$POOL"
	chown 65534 "$MNT"
	run setpriv --reuid 65534 --regid 65534 --clear-groups "$KVPFS" "$POOL" "$MNT"
	cat err
	equal "$status" 1
	equal "$(wc -l <err)" 1
	grep -qF "$POOL" err
	is_gone "$MNT"
}
options=none it unreadable_pool_is_refused

unusable_mountpoint_is_refused_by_name()
{
	touch file
	local mountpoint
	for mountpoint in missing file; do
		refuses_to_mount 1 "$mountpoint" "$POOL" "$mountpoint"
		refuses_to_mount 1 "$mountpoint" -f "$POOL" "$mountpoint"
	done
}
options=none it unusable_mountpoint_is_refused_by_name

# Daemon mode

mount_is_usable_when_the_command_returns()
{
	local try
	for ((try = 0; try < 10; try++)); do
		"$KVPFS" "$POOL" "$MNT"
		equal "$(cat "$MNT/k")" v
		echo "$try" >"$MNT/n"
		unmount
		pool_is k=v "n=$try\n"
		eventually all_daemons_ended "$MNT"
	done
}
options=none it mount_is_usable_when_the_command_returns k=v

daemon_keeps_no_descriptor_of_its_caller()
{
	equal "$(timeout 120 "$KVPFS" "$POOL" "$MNT" 2>&1)" ''
	is_mounted "$MNT"
	unmount
}
options=none it daemon_keeps_no_descriptor_of_its_caller

program_started_without_standard_descriptors_works()
{
	"$KVPFS" "$POOL" "$MNT" <&- >&- 2>&-
	echo v >"$MNT/k"
	equal "$(cat "$MNT/k")" v
	unmount
	pool_is 'k=v\n'
}
options=none it program_started_without_standard_descriptors_works

relative_paths_work()
{
	local mountpoint
	mkdir elsewhere
	cd elsewhere
	"$KVPFS" ../pool ../mount
	cd ..
	equal "$(cat mount/k)" v
	pool put pool k=w
	equal "$(cat mount/k)" w
	rm pool
	echo new >mount/n
	pool_is 'n=new\n'
	unmount_behind_others "$MNT"
	# relative, but nobody else's
	mountpoint=../../${MNT#"${scratch%/*}/"}
	"$KVPFS" pool "$mountpoint"
	kill "$(daemons_of "$mountpoint")"
	eventually is_gone "$MNT"
	start pool mount
	stop
}
options=none it relative_paths_work k=v

signal_unmounts_the_daemon()
{
	local daemon
	"$KVPFS" pool "$MNT"
	daemon=$(daemons_of "$MNT")
	equal "$(wc -w <<<"$daemon")" 1
	kill -s "$variant" "$daemon"
	eventually is_gone "$MNT"
	eventually has_ended "$daemon"
}
for variant in TERM INT; do
	options=none it signal_unmounts_the_daemon
done

signal_unmounts_and_exits_0()
{
	kill -s "$variant" "$program"
	ended_well
	start "$POOL" "$MNT"
	exec 3<mount/k
	kill -s "$variant" "$program"
	ended_well
	exec 3<&-
	start "$POOL" "$MNT"
}
for variant in TERM INT; do
	it signal_unmounts_and_exits_0 k=v
done
variant=

unmounting_ends_the_program_with_0()
{
	unmount
	ended_well
	start "$POOL" "$MNT"
	((EUID != 0)) || {
		umount "$MNT"
		ended_well
		start "$POOL" "$MNT"
	}
}
it unmounting_ends_the_program_with_0

two_mounts_of_one_pool_see_each_other()
{
	local n
	mkdir second
	"$KVPFS" "$POOL" second
	for ((n = 0; n < 50; n++)); do
		echo "$n" >mount/a
		equal "$(<second/a)" "$n"
		echo "$n" >second/b
		equal "$(<mount/b)" "$n"
		rm second/a
		equal "$(ls mount)" b
	done
	unmount_behind_others "$top/second"
	pool_is 'b=49\n'
}
it two_mounts_of_one_pool_see_each_other

# mount(8), fstab, the default pool, users

needs_namespace() { [[ ${KVPFS_UNSHARED-} ]] || skip 'needs a mount namespace'; }

# Mounts over a fixed place until the case ends.
lay_over()
{
	needs_namespace
	mount "$@"
	covered=${*: -1}
	trap 'umount -l "$covered"' EXIT
}

# Lets mount.fuse3, which looks in a fixed PATH only, find the program.
install_program()
{
	needs mount.fuse3
	mkdir bin
	cp "$KVPFS" bin/kvpfs
	lay_over --bind bin /usr/local/bin
}

# Any user may open /dev/fuse, as on most systems.
as_nobody=(setpriv --reuid 65534 --regid 65534 --clear-groups)
open_to_nobody()
{
	needs_root
	needs setpriv
	[[ -e /etc/mtab ]] || skip 'fusermount3 unmounts nothing without /etc/mtab'
	mknod fuse c 10 229
	chmod 666 fuse
	lay_over --bind fuse /dev/fuse
	"${as_nobody[@]}" dd if=/dev/fuse count=0 2>/dev/null ||
		skip 'other users cannot open /dev/fuse'
	chown 65534:65534 "$MNT"
}

mount_command_mounts_a_pool()
{
	install_program
	mount -t fuse.kvpfs "$POOL" "$MNT" -o mode=full,fsname=name
	equal "$(cat "$MNT/k")" v
	grep -q " $MNT .* name " /proc/self/mountinfo
	printf %01100d 0 >"$MNT/long"
	umount "$MNT"
	equal "$(pool get "$POOL" long | wc -c)" 1100
	mount -t fuse.kvpfs -o ro,noexec,nosuid,nodev,noatime "$POOL" "$MNT"
	refuses 'Read-only' bash -c 'echo v >mount/k'
	umount "$MNT"
	run mount -t fuse.kvpfs "$POOL" "$MNT" -o nosuch
	((status != 0))
	grep -q nosuch err
	is_gone "$MNT"
}
options=none it mount_command_mounts_a_pool k=v

fstab_line_mounts_a_pool()
{
	install_program
	echo "$POOL $MNT fuse.kvpfs noauto,allow_other,umask=022 0 0" >fstab
	mount -T fstab "$MNT"
	equal "$(cat "$MNT/k")" v
	grep " $MNT " /proc/self/mountinfo | grep -q allow_other
	umount "$MNT"
	local options=defaults,_netdev,nofail,x-systemd.automount,rw
	echo "$POOL $MNT fuse.kvpfs $options 0 0" >fstab
	mount -T fstab "$MNT"
	echo w >"$MNT/k"
	umount "$MNT"
	pool_is 'k=w\n'
}
options=none it fstab_line_mounts_a_pool k=v

mount_all_mounts_a_pool_once_whatever_it_is_called()
{
	install_program
	lay_over -t tmpfs none /var/lib
	mkdir /var/lib/hyperv
	cp "$POOL" /var/lib/hyperv/.kvp_pool_1
	for name in guest 1 /var/lib/hyperv/.kvp_pool_1 /var/lib/hyperv; do
		echo "$name $MNT fuse.kvpfs defaults 0 0" >fstab
		mount -T fstab -a
		mount -T fstab -a
		equal "$(grep -c " $MNT " /proc/self/mountinfo)" 1
		equal "$(findmnt -n -o SOURCE "$MNT")" "$name"
		umount "$MNT"
	done
}
options=none it mount_all_mounts_a_pool_once_whatever_it_is_called k=v

default_pool_is_that_of_the_guest()
{
	lay_over -t tmpfs none /var/lib
	mkdir /var/lib/hyperv
	cp "$POOL" /var/lib/hyperv/.kvp_pool_1
	"$KVPFS" "$MNT"
	equal "$(cat mount/k)" v
	printf w >mount/k
	unmount
	cp /var/lib/hyperv/.kvp_pool_1 "$POOL"
	pool_is k=w
}
options=none it default_pool_is_that_of_the_guest k=v

user_without_privileges_can_mount_a_pool()
{
	open_to_nobody
	chown 65534:65534 "$POOL"
	"${as_nobody[@]}" "$KVPFS" "$POOL" "$MNT"
	equal "$("${as_nobody[@]}" cat mount/k)" v
	"${as_nobody[@]}" bash -c 'printf w >mount/k; printf x >mount/n'
	refuses 'Permission denied' cat mount/k
	"${as_nobody[@]}" fusermount3 -u "$MNT"
	pool_is k=w n=x
}
options=none it user_without_privileges_can_mount_a_pool k=v

pool_that_a_user_may_not_write_is_mounted_read_only()
{
	open_to_nobody
	"${as_nobody[@]}" "$KVPFS" "$POOL" "$MNT" 2>err
	equal "$("${as_nobody[@]}" cat mount/k)" v
	refuses 'Read-only' "${as_nobody[@]}" bash -c 'echo w >mount/k'
	"${as_nobody[@]}" fusermount3 -u "$MNT"
	grep -qF "$POOL" err
	pool_is k=v
}
options=none it pool_that_a_user_may_not_write_is_mounted_read_only k=v

# Log and readiness

log_names_the_key_and_never_the_value()
{
	local secret
	secret=$(printf 'secret%.0s' {1..200})
	refuses 'too large' bash -c "echo $secret >mount/key"
	refuses 'Invalid' bash -c 'printf "secret\0secret" >mount/key'
	refuses 'multibyte' bash -c 'printf "secret\377" >mount/key'
	refuses 'too large' bash -c "echo $secret >$'mount/a\nb\"c'"
	echo secret >mount/key
	cat mount/key
	stop
	grep -qF '"key"' "$LOG"
	grep -qF 1201 "$LOG"
	equal "$(wc -l <"$LOG")" 4
	equal "$(grep -c secret "$LOG")" 0
	start "$POOL" "$MNT"
}
it log_names_the_key_and_never_the_value key=secret

cut_tail_is_logged_once()
{
	printf tail >>"$POOL"
	start "$POOL" "$MNT"
	local n
	for ((n = 0; n < 5; n++)); do
		pool put "$POOL" "k=$n"
		cat mount/k
	done
	stop
	equal "$(wc -l <"$LOG")" 1
}
options=none it cut_tail_is_logged_once k=v

quiet_mount_logs_nothing()
{
	echo v >mount/k
	cat mount/k
	mv mount/k mount/l
	rm mount/l
	stop
	equal "$(<"$LOG")" ''
	start "$POOL" "$MNT"
}
it quiet_mount_logs_nothing

readiness_is_told_to_the_service_manager()
{
	cat >listen.py <<-'EOF'
		import os, socket, subprocess, sys
		listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
		listener.bind('notify')
		listener.settimeout(120)
		os.environ['NOTIFY_SOCKET'] = os.path.abspath('notify')
		program = subprocess.Popen([os.environ['KVPFS'], '-f', *sys.argv[1:]])
		while 'READY=1' not in listener.recv(4096).decode().split('\n'):
		    pass
		equal = os.listdir(sys.argv[2]) == ['k']
		program.terminate()
		sys.exit(program.wait() or not equal)
	EOF
	"$PYTHON" listen.py "$POOL" "$MNT"
}
options=none it readiness_is_told_to_the_service_manager k=v

finish
