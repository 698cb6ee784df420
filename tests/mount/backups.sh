#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Backups of .kvpfs/* by the programs that people make them with, many of which believe
# a file's size: they hold all of it. What they restore is what was there, and what is
# refused or cut off changes nothing. Others hold the pool's lock for moments all the
# while.

# shellcheck source=lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"

# Takes and frees the pool's lock until it is killed.
lock_for_moments()
{
	"$PYTHON" -c '
import fcntl, sys, time
with open(sys.argv[1]) as pool:
    while True:
        fcntl.flock(pool, fcntl.LOCK_EX)
        time.sleep(0.005)
        fcntl.flock(pool, fcntl.LOCK_UN)
        time.sleep(0.02)' "$POOL" &
	echo $! >>"$scratch/pids"
}

python_copies() { "$PYTHON" -c "import shutil; shutil.$1('$2', '$3')"; }

# By os.sendfile or os.splice; $2 to $3.
kernel_copies()
{
	"$PYTHON" - "$@" <<-'EOF'
		import os, sys
		how, source, target = sys.argv[1:]
		source = os.open(source, os.O_RDONLY)
		target = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
		reader, writer = os.pipe()
		size = 0
		if how == 'sendfile':
		    while os.sendfile(target, source, None, 1 << 20):
		        pass
		else:
		    while size := os.splice(source, writer, 65536):
		        while size:
		            size -= os.splice(reader, target, size)
	EOF
}

# As cp of uutils and copyFile of node do it: the target is emptied by a descriptor that
# nothing is written to; what is copied is what the size says.
uutils_copies()
{
	"$PYTHON" - "$@" <<-'EOF'
		import os, sys
		source = os.open(sys.argv[1], os.O_RDONLY)
		flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
		idle = os.open(sys.argv[2], flags, 0o644)
		target = os.open(sys.argv[2], flags, 0o644)
		left = os.fstat(source).st_size
		while left:
		    left -= os.sendfile(target, source, None, left)
		os.close(target)
		os.close(idle)
	EOF
}

# As Ansible's fetch does it, which compares the size with what it got.
ansible_fetches()
{
	[[ $(stat -c %s "$1") == "$(base64 "$1" | base64 -d | wc -c)" ]] &&
		base64 "$1" | base64 -d >"$2"
}

archived_by()
{
	local archiver=$1
	shift
	needs "${archiver%% *}" tar cpio
	case $archiver in
	*cpio) echo "$1" | $archiver -o --quiet | cpio -i --quiet --to-stdout >"$2" ;;
	*) $archiver -cf - "$1" 2>/dev/null | tar -xOf - >"$2" ;;
	esac
}

# Copies the file $1 to $2, which is there if it is to be restored.
copies()
{
	case $variant in
	cp) cp "$@" ;;
	'cp reflink') cp --reflink=auto --sparse=always "$@" ;;
	'cp -a') cp -a "$@" ;;
	cat) cat <"$1" >"$2" ;;
	dd) dd if="$1" of="$2" status=none ;;
	'dd 77') dd if="$1" of="$2" bs=77 status=none ;;
	'dd fsync') dd if="$1" of="$2" conv=fsync status=none ;;
	tee) tee "$2" <"$1" >/dev/null ;;
	head) head -c 1G "$1" >"$2" ;;
	tail) tail -n +1 "$1" >"$2" ;;
	'tail 9') tail -n 99999 "$1" >"$2" ;;
	gzip) gzip -c "$1" | gzip -dc >"$2" ;;
	copy | copy2 | copyfile) python_copies "$variant" "$@" ;;
	sendfile | splice) kernel_copies "$variant" "$@" ;;
	'busybox cp') busybox cp "$@" ;;
	'busybox cat') busybox cat "$1" >"$2" ;;
	'busybox dd') busybox dd if="$1" of="$2" 2>/dev/null ;;
	'busybox tee') busybox tee "$2" <"$1" >/dev/null ;;
	'busybox tail') busybox tail -n 99999 "$1" >"$2" ;;
	uutils) uutils_copies "$@" ;;
	'uutils cp') coreutils cp "$@" ;;
	'uutils cat') coreutils cat "$1" >"$2" ;;
	'uutils dd') coreutils dd if="$1" of="$2" status=none ;;
	'uutils tail') coreutils tail -n 99999 "$1" >"$2" ;;
	node) node -e 'fs.copyFileSync(...process.argv.slice(1))' "$@" ;;
	'node stream') node -e 'let [from, to] = process.argv.slice(1);
		fs.createReadStream(from).pipe(fs.createWriteStream(to))' "$@" ;;
	perl) perl -MFile::Copy -e 'copy(@ARGV) or die $!' "$@" ;;
	rsync) rsync "$@" ;;
	'rsync -a') rsync -a "$@" ;;
	'rsync inplace') rsync -I --inplace "$@" ;;
	'rsync delta') rsync -I --inplace --no-whole-file "$@" ;;
	ansible) ansible_fetches "$@" ;;
	'by '*) archived_by "${variant#by }" "$@" ;;
	install) install -m 600 "$@" ;;
	7z)
		rm -f archive.7z
		7z a -bso0 archive.7z "$1"
		7z e -so archive.7z >"$2"
		;;
	*) return 99 ;;
	esac
}

needs_variant()
{
	case $variant in
	busybox* | node* | rsync* | perl | 7z) needs "${variant%% *}" ;;
	'uutils '*) needs coreutils ;;
	splice) "$PYTHON" -c 'import os; os.splice' || skip 'needs Python 3.10' ;;
	esac
}

both=(cp 'cp reflink' 'cp -a' cat dd 'dd 77' tee gzip copy copy2 copyfile sendfile splice
	'busybox cp' 'busybox cat' 'busybox dd' 'busybox tee' uutils 'uutils cp'
	'uutils cat' 'uutils dd' node 'node stream' perl 'rsync inplace' 'rsync delta')
reading=("${both[@]}" head tail 'tail 9' 'busybox tail' 'uutils tail' rsync 'rsync -a'
	ansible install 7z
	'by tar' 'by bsdtar' 'by busybox tar' 'by cpio' 'by bsdcpio')
writing=("${both[@]}" 'dd fsync')

# What cloud-init and azure-init leave: a long value in pieces, cut within characters;
# more than restricted mode stores; repeated keys; noise behind a NUL; no key.
wild=('k=v\n' 'long=\xe2\x82' 'long=\xac and more' "big=$(printf %02000d 0)" k=again
	'noise=v\0old bytes' '=keyless' 'a/b=1' 'two\nlines=\n\n' '\xff=' 'x\x3dy==')
honest=('k=v\n' 'a/b=1' 'long=one' 'long=two' 'two\nlines=\n\n' '%41=%25%' 'x\x3dy=='
	"big=$(printf %01022d 0)")

remember() { cp pool remembered; }
unchanged() { cmp pool remembered; }

# With a part of a record at its end.
tear() { printf torn >>pool; }

every_file_is_copied_whole()
{
	local name
	needs_variant
	tear
	lock_for_moments
	for name in records entries pool; do
		copies "mount/.kvpfs/$name" copy
		[[ -s copy ]]
		cmp "mount/.kvpfs/$name" copy
		rm copy
	done
	copies mount/.kvpfs/status copy
	equal "$(grep -v ^lock_ copy)" "$(grep -v ^lock_ mount/.kvpfs/status)"
}
for variant in "${reading[@]}"; do
	it every_file_is_copied_whole "${wild[@]}"
done

pool_is_restored_byte_for_byte()
{
	remember
	tear
	copies mount/.kvpfs/pool backup
	cmp backup remembered
	rm mount/k
	echo other >mount/other
	copies backup mount/.kvpfs/pool
	unchanged
	# what was only added since goes, too
	echo v >mount/new
	echo v >mount/newer
	copies backup mount/.kvpfs/pool
	unchanged
}

# The second one may not be written.
refused_records_change_nothing()
{
	copies mount/.kvpfs/records refused
	! copies refused mount/.kvpfs/records 2>err || return
	equal "$(stat -f -c %c mount)" 1024
	unchanged
	grep -q 'records: line 2: ' log
}

records_are_restored()
{
	pool build pool "${honest[@]}"
	remember
	copies mount/.kvpfs/records records
	rm mount/k
	echo other >mount/other
	copies records mount/.kvpfs/records
	unchanged
}

backups_restore_what_was_there()
{
	needs_variant
	lock_for_moments
	pool_is_restored_byte_for_byte
	refused_records_change_nothing
	records_are_restored
}
for variant in "${writing[@]}"; do
	it backups_restore_what_was_there "${wild[@]}"
done

value_that_a_rule_refuses_is_told_and_the_old_one_stays()
{
	needs_variant
	printf %01500d 0 >long
	case $variant in
	*dd* | 'busybox tee') skip 'writes in pieces' ;;
	node) skip 'removes what it could not copy' ;;
	esac
	! copies long mount/k 2>err || return
	! copies long mount/new 2>err || return
	equal "$(ls -A mount)" k
	pool_is k=old
}
for variant in "${writing[@]}"; do
	it value_that_a_rule_refuses_is_told_and_the_old_one_stays k=old
done

mount_is_copied_and_restored()
{
	needs_variant
	needs cpio
	mkdir copy
	case $variant in
	'by tar') tar -C mount -cf - . | tar -C copy -xf - ;;
	'by bsdtar') bsdtar -C mount -cf - . | bsdtar -C copy -xf - ;;
	'by busybox tar') busybox tar -C mount -cf - . | busybox tar -C copy -xf - ;;
	'by cpio') (cd mount && find . -type f | cpio -o --quiet) |
		(cd copy && cpio -i --quiet) ;;
	'rsync -a') rsync -a mount/ copy ;;
	'cp -a') cp -a mount/. copy ;;
	'busybox cp') busybox cp -a mount/. copy ;;
	'uutils cp') coreutils cp mount/* copy ;;
	copytree) "$PYTHON" -c "import shutil; shutil.copytree('mount', 'copy/all')
shutil.copytree('copy/all', 'copy', dirs_exist_ok=True); shutil.rmtree('copy/all')" ;;
	esac
	diff -r mount copy
	equal "$(find copy -type f | wc -l)" 3
	rm mount/*
	pool_is
	cp copy/* mount
	pool_is 'k=v\n' a/b=1 empty=
}
for variant in 'by tar' 'by bsdtar' 'by busybox tar' 'by cpio' 'rsync -a' 'cp -a' \
	'busybox cp' 'uutils cp' copytree; do
	it mount_is_copied_and_restored 'k=v\n' a/b=1 empty=
done
variant=

# Cut off

# Writes what is in the file "half", and dies of it.
is_killed()
{
	"$PYTHON" -c 'import os, signal
os.write(1, open("half", "rb").read())
os.kill(os.getpid(), signal.SIGKILL)'
}

restore_whose_writer_is_killed_changes_nothing()
{
	local name
	remember
	for name in records pool; do
		head -c 2560 "mount/.kvpfs/$name" >half
		# the shell closes it, too
		! is_killed >"mount/.kvpfs/$name" || return
		! is_killed 1<>"mount/.kvpfs/$name" || return
		! bash -c 'kill -KILL $$' >"mount/.kvpfs/$name" || return
		equal "$(stat -f -c %c mount)" 1024
		unchanged
	done
	printf v=hal >half
	! is_killed >>mount/.kvpfs/records || return
	unchanged
}
it restore_whose_writer_is_killed_changes_nothing "${honest[@]}"

restore_to_a_full_disk_changes_nothing()
{
	local n
	needs_root
	mkdir small
	mount -t tmpfs -o size=64k none small || skip 'cannot mount tmpfs here'
	POOL=$top/small/pool
	pool build "$POOL" "${honest[@]}"
	start "$POOL" "$MNT"
	cp "$POOL" remembered
	for ((n = 0; n < 9; n++)); do
		cat mount/.kvpfs/pool >>bytes
		cat mount/.kvpfs/records >>lines
	done
	refuses 'No space left' cp bytes mount/.kvpfs/pool
	refuses 'No space left' cp lines mount/.kvpfs/records
	refuses 'No space left' bash -c 'cat lines >>mount/.kvpfs/records'
	cmp "$POOL" remembered
	stop
}
options=none it restore_to_a_full_disk_changes_nothing

finish
